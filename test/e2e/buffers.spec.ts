import { getDefaultHighWaterMark } from 'node:stream';
import { expect, it } from '@jest/globals';
import type { OverflowPolicy, SseSession } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { endless, expectEnd, startLife, turns, untilBlocked } from '../support/life.js';

const RETRY = 'retry: 2000\n';
const MAX_BYTES = 200_000;
/** What Node holds beyond our own buffer: what it takes before it says that it is full (16 KB, from Node 22 on 64 KB), and the write that fills it. */
const ONE_WRITE = 64 * 1024 + getDefaultHighWaterMark(false);

/** Sends events of 10 KB until the policy takes hold, a turn for each, as an application would whose client reads nothing. */
async function flood(session: SseSession, count: number, type: (n: number) => string = () => ''): Promise<number> {
  let highest = 0;
  for (let n = 0; n < count; n++) {
    if (session.send({ data: `#${n}# ${'x'.repeat(10_000)}`, type: type(n) }) === 'closed') break;
    highest = Math.max(highest, session.pendingBytes);
    if (n % 10 === 0) await turns(1);
  }
  return highest;
}

/** The numbers of the events that arrived. */
function numbersIn(body: string): number[] {
  return [...body.matchAll(/data: #(\d+)#/g)].map(([, number]) => Number(number));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

describeEachAdapter('A client that never reads', ({ startApp }) => {
  const paused = async (overflow: OverflowPolicy) => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: MAX_BYTES, overflow } } });
    const client = await life.get();
    await client.head();
    client.pause();
    return { life, client, session: life.sessions[0]! };
  };

  it('costs no more than maxBytes and one write, and is ended with overflow close', async () => {
    const { life, client, session } = await paused('close');
    const highest = await flood(session, 5_000);
    expect(highest).toBeGreaterThan(MAX_BYTES / 2);
    expect(highest).toBeLessThanOrEqual(MAX_BYTES + ONE_WRITE);
    await expectEnd(life, 'slow-client', { error: 'SLOW_CLIENT' });
    client.resume();
    await client.closed;
    const numbers = numbersIn(client.body);
    expect(numbers).toEqual(range(0, numbers.length - 1));
  });

  it('costs no more than maxBytes and one write with drop-oldest: it misses a stretch, and has the newest', async () => {
    const { life, client, session } = await paused('drop-oldest');
    expect(await flood(session, 3_000)).toBeLessThanOrEqual(MAX_BYTES + ONE_WRITE);
    expect(session).toMatchObject({ state: 'open' });
    expect(session.eventsDropped).toBeGreaterThan(1_000);
    expect(life.manager.stats()).toMatchObject({ events: { dropped: session.eventsDropped }, bytes: { pending: session.pendingBytes } });
    session.complete();
    client.resume();
    const numbers = numbersIn((await client.whole()).body);
    expect(numbers).toHaveLength(3_000 - session.eventsDropped);
    const gapAt = numbers.findIndex((number, index) => number !== index);
    expect(numbers.slice(gapAt)).toEqual(range(numbers[gapAt]!, 2_999));
    expect(numbers.length - gapAt).toBeGreaterThan(10);
    await expectEnd(life, 'complete');
    expect(life.manager.stats().events).toEqual({ sent: numbers.length, dropped: session.eventsDropped });
  });

  it('costs no more than maxBytes and one write with latest: it has the newest of each type, in the order of their arrival', async () => {
    const { life, client, session } = await paused('latest');
    // b stops early, so that its newest is older than those of the others; c comes before a in the end
    const typeOf = (n: number) => (n < 2_000 ? ['a', 'b', 'c'][n % 3]! : ['a', 'c'][n % 2]!);
    expect(await flood(session, 3_000, typeOf)).toBeLessThanOrEqual(MAX_BYTES + ONE_WRITE);
    session.send({ data: '#3000# ', type: 'a' });
    session.complete();
    client.resume();
    const numbers = numbersIn((await client.whole()).body);
    expect(numbers.slice(-3)).toEqual([1_999, 2_999, 3_000]);
    expect(numbers.length + session.eventsDropped).toBe(3_001);
    const beforeTheGap = numbers.slice(0, -3);
    expect(beforeTheGap).toEqual(range(0, beforeTheGap.length - 1));
    await expectEnd(life, 'complete');
  });

  it('costs a pull source no memory at all: it is not asked for more', async () => {
    const life = await startLife(startApp, () => endless(10_000));
    const client = await life.get();
    await client.head();
    client.pause();
    const session = life.sessions[0]!;
    await untilBlocked(session);
    expect(session.pendingBytes).toBeLessThanOrEqual(2 * ONE_WRITE + 10_000);
    expect(session.eventsDropped).toBe(0);
  });
});

describeEachAdapter('What waits', ({ startApp }) => {
  it('is written in order, in slices of at most 64 KB, however large one event is', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 1_000 } } });
    const client = await life.get();
    await client.head();
    const large = 'ä'.repeat(1_000_000);
    expect(life.sessions[0]?.send(large)).toBe('accepted');
    expect(life.sessions[0]?.pendingBytes).toBe(2_000_000 + 'data: \n\n'.length);
    life.sessions[0]?.complete();
    const { body } = await client.whole();
    expect(body).toBe(`${RETRY}data: ${large}\n\n`);
    const chunks = chunkSizes(client.received);
    expect(chunks.length).toBeGreaterThan(2_000_000 / ONE_WRITE);
    // with its framing: the size in hex and two line breaks
    expect(Math.max(...chunks.map((size) => size + size.toString(16).length + 4))).toBeLessThanOrEqual(ONE_WRITE);
    expect(life.sessions[0]).toMatchObject({ eventsSent: 1, bytesSent: Buffer.byteLength(body) });
  });

  it('and was sent in one turn leaves in one write', async () => {
    const life = await startLife(startApp, () => undefined);
    const client = await life.get();
    await client.head();
    for (let n = 0; n < 50; n++) life.sessions[0]?.send(`#${n}#`);
    const { body } = await client.waitFor('#49#');
    expect(numbersIn(body)).toEqual(range(0, 49));
    expect(chunkSizes(client.received)).toHaveLength(2);
  });

  it('is counted by pendingBytes from before the stream is open until the kernel has it', async () => {
    let release: () => void = () => undefined;
    const life = await startLife(startApp, () => new Promise<undefined>((resolve) => (release = () => resolve(undefined))));
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    const [session] = life.sessions as [SseSession];
    expect(session.send('early')).toBe('accepted');
    expect(session).toMatchObject({ state: 'connecting', pendingBytes: 'data: early\n\n'.length, eventsSent: 0 });
    release();
    expect((await client.waitFor('early')).body).toBe(`${RETRY}data: early\n\n`);
    await eventually(() => expect(session).toMatchObject({ state: 'open', pendingBytes: 0, eventsSent: 1 }));
  });

  it('has left when flushed() resolves, and flushed() waits for a client that does not read', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 20_000_000 } } });
    const client = await life.get();
    await client.head();
    const [session] = life.sessions as [SseSession];
    session.send('small');
    await session.flushed();
    expect(session.pendingBytes).toBe(0);
    client.pause();
    session.send('x'.repeat(15_000_000));
    let flushed = false;
    const done = session.flushed().then(() => (flushed = true));
    await untilBlocked(session);
    expect(flushed).toBe(false);
    client.resume();
    await done;
    expect(session.pendingBytes).toBe(0);
  });

  it('is given up when the session ends: flushed() rejects', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 20_000_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    const [session] = life.sessions as [SseSession];
    session.send('x'.repeat(15_000_000));
    const flushed = session.flushed();
    flushed.catch(() => undefined);
    await untilBlocked(session);
    await client.reset();
    await expect(flushed).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    await expect(session.flushed()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    await expectEnd(life, 'client-disconnect');
  });
});

describeEachAdapter('A session that has completed', ({ startApp }) => {
  const LARGE = 'x'.repeat(15_000_000);

  it('turns out as client-disconnect when the client leaves before it has everything', async () => {
    const life = await startLife(startApp, () => of(LARGE));
    const client = await life.get();
    await client.head();
    client.pause();
    await eventually(() => expect(life.sessions[0]).toMatchObject({ state: 'closing', closeReason: 'complete' }));
    await untilBlocked(life.sessions[0]!);
    expect(life.sessions[0]!.signal.aborted).toBe(true);
    expect(life.ends).toEqual([]);
    await client.reset();
    await expectEnd(life, 'client-disconnect');
  });

  it('turns out as slow-client when the client does not take the rest within stallTimeoutMs; no error hook is left out', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => of(LARGE), { clock, route: { buffer: { stallTimeoutMs: 5_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    await eventually(() => expect(life.sessions[0]).toMatchObject({ state: 'closing', closeReason: 'complete' }));
    await untilBlocked(life.sessions[0]!);
    clock.advance(4_900);
    expect(life.sessions[0]).toMatchObject({ state: 'closing' });
    clock.advance(200);
    await expectEnd(life, 'slow-client', { error: 'SLOW_CLIENT' });
    client.resume();
    await client.closed;
    expect(client.response?.complete).toBe(false);
  });

  it('keeps any other reason, whatever becomes of the rest', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 20_000_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    life.sessions[0]?.send(LARGE);
    await untilBlocked(life.sessions[0]!);
    await life.manager.cancel(life.sessions[0]!.id);
    expect(life.sessions[0]).toMatchObject({ state: 'closing' });
    await client.fin();
    await expectEnd(life, 'cancelled');
  });
});

/** The sizes of the chunks of a chunked body, each of which was one write. */
function chunkSizes(received: string): number[] {
  const sizes: number[] = [];
  for (let at = received.indexOf('\r\n\r\n') + 4; at < received.length;) {
    const lineEnd = received.indexOf('\r\n', at);
    const size = Number.parseInt(received.slice(at, lineEnd), 16);
    if (size > 0) sizes.push(size);
    at = lineEnd + 2 + size + 2;
  }
  return sizes;
}
