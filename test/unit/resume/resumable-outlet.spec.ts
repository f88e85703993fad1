import { describe, expect, it, jest } from '@jest/globals';
import { NEVER } from 'rxjs';
import type { ResumeOptions, RouteOptions } from '../../../lib/options/options.js';
import type { ManagedSession } from '../../../lib/session/managed-session.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { blocksOf, committedIdOf } from '../../support/blocks.js';
import { MemoryApp, type SessionDescription, handle, turns } from '../../support/memory-session.js';

const ANN = { principal: 'ann', key: 'answer' };

function describeSession(resume: ResumeOptions, more: RouteOptions = {}): SessionDescription {
  return { ...ANN, options: { retryMs: false, heartbeat: false, resume, ...more } };
}

function dataIn({ received }: MemoryResponse): string[] {
  return blocksOf(received).flatMap(({ type, data }) => (data === undefined ? [] : [type ? `${type} ${data}` : data]));
}

/** A source that is pulled, and counts how often. */
function counting(size = 0) {
  const filler = 'x'.repeat(size);
  const source = {
    pulled: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<string> {
      for (;;) yield `<${++source.pulled}>${filler}`;
    },
  };
  return source;
}

/** Turns the event loop until nothing is pulled any more. */
async function untilStill(source: { pulled: number }): Promise<number> {
  for (let before = -1; before !== source.pulled;) {
    before = source.pulled;
    await turns(20);
  }
  return source.pulled;
}

describe('flushed() of a resumable session', () => {
  it('resolves when a client has it', async () => {
    const app = new MemoryApp();
    const { session, response } = app.open(describeSession({}));
    response.pause();
    session.send('x'.repeat(100_000));
    let flushed = false;
    void session.flushed().then(() => (flushed = true));
    await turns();
    expect(flushed).toBe(false);
    response.resume();
    await turns();
    expect(flushed).toBe(true);
    expect(session.pendingBytes).toBe(0);
  });

  it('resolves when one of several has it', async () => {
    const app = new MemoryApp();
    const description = describeSession({});
    const { session, response } = app.open(description);
    app.arrive(description);
    response.pause();
    session.send('x'.repeat(100_000));
    await session.flushed();
    expect(session.pendingBytes).toBeGreaterThan(0);
  });

  it('resolves while nobody is attached, as the log has it, and when the client goes meanwhile', async () => {
    const app = new MemoryApp();
    const { session, response } = app.open(describeSession({}));
    response.pause();
    session.send('x'.repeat(100_000));
    const flushed = session.flushed();
    response.disconnect();
    await flushed;
    session.send('more');
    await session.flushed();
    expect(session.state).toBe('detached');
  });

  it('rejects when the session ends', async () => {
    const app = new MemoryApp();
    const { session, response } = app.open(describeSession({}));
    response.pause();
    session.send('x'.repeat(100_000));
    const flushed = session.flushed();
    session.end('client-disconnect');
    await expect(flushed).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    await expect(session.flushed()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  });
});

describe('a pull source of a resumable session', () => {
  it('goes at the pace of the fastest client', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { buffer: { maxBytes: 500_000 } });
    const slow = app.open(description);
    slow.response.pause();
    const source = counting(10_000);
    handle(slow.session, source);
    const alone = await untilStill(source);
    expect(alone).toBeGreaterThan(2);
    expect(alone).toBeLessThan(50);
    // the slow one is cut when too much waits for it, and alone
    const fast = app.arrive(description);
    await turns(100);
    expect(source.pulled).toBeGreaterThan(100);
    expect(slow.response.isDestroyed).toBe(true);
    expect(fast.response.isDestroyed).toBe(false);
    expect(app.events).toContain('detach slow-client');
    slow.session.end('cancelled');
    await turns();
    expect(dataIn(fast.response).map((data) => Number(/\d+/.exec(data)))).toEqual(
      Array.from({ length: dataIn(fast.response).length }, (_, n) => n + 1),
    );
  });

  it.each([
    [1, 2_900],
    [5, 2_900],
    [20, 2_900],
    // less than what a network may hold
    [5, 1_000],
  ])('does not run past a client that is cut and back %i times before it has read anything (maxEvents: %i)', async (flaps, maxEvents) => {
    const app = new MemoryApp();
    const description = { ...describeSession({ maxEvents }), response: new MemoryResponse(1) };
    const { session, response } = app.open(description);
    const source = counting();
    response.pause();
    handle(session, source);
    await untilStill(source);
    response.disconnect();
    await untilStill(source);
    const id = `${session.log!.token}:0`;
    for (let n = 0; n < flaps; n++) {
      const flapping = new MemoryResponse(1);
      flapping.pause();
      app.arrive({ ...description, response: flapping }, id);
      await turns(5);
      flapping.disconnect();
      await untilStill(source);
      app.clock.advance(500);
    }
    const back = app.arrive({ ...description, response: new MemoryResponse() }, id);
    await turns(3);
    expect(dataIn(back.response)[0]).toBe('<1>');
    session.end('cancelled');
  });

  it('goes on from where its clients are when they were there for long enough to have got it', async () => {
    const app = new MemoryApp();
    const description = { ...describeSession({ maxEvents: 4_000 }), response: new MemoryResponse(1) };
    const { session, response } = app.open(description);
    const source = counting();
    handle(session, source);
    await turns(10);
    app.clock.advance(10_000);
    response.disconnect();
    const before = source.pulled;
    expect((await untilStill(source)) - before).toBeGreaterThan(1_500);
    session.end('cancelled');
  });

  it('is paused when the log is half full and nobody is attached, and nothing is lost', async () => {
    const app = new MemoryApp();
    const description = describeSession({ maxBytes: 400_000 });
    const { session, response } = app.open(description);
    const source = counting(1_000);
    response.pause();
    handle(session, source);
    await untilStill(source);
    response.disconnect();
    const paused = await untilStill(source);
    expect(session.state).toBe('detached');
    const client = committedIdOf(response.received);
    const back = app.arrive(description, client);
    await turns(3);
    const data = dataIn(back.response);
    expect(data.filter((each) => each.startsWith('reset'))).toEqual([]);
    expect(paused).toBeGreaterThan(150);
    expect(paused).toBeLessThan(400);
    session.end('cancelled');
  });

  it('is paused when the log has half as many events as it can hold, too', async () => {
    const app = new MemoryApp();
    const description = describeSession({ maxEvents: 100 });
    const { session, response } = app.connect(description);
    response.disconnect();
    const source = counting();
    handle(session, source);
    const paused = await untilStill(source);
    expect(paused).toBeGreaterThan(40);
    expect(paused).toBeLessThanOrEqual(100);
    const back = app.arrive(description);
    await turns(3);
    expect(dataIn(back.response).slice(0, 2)).toEqual(['<1>', '<2>']);
    session.end('cancelled');
  });

  it.each([2_000, 400_000])('goes on when a client comes back to one that was paused, with a log of %i bytes', async (maxBytes) => {
    const app = new MemoryApp();
    const description = describeSession({ maxBytes });
    const { session, response } = app.connect(description);
    response.disconnect();
    const source = counting(100);
    handle(session, source);
    const paused = await untilStill(source);
    const back = app.arrive(description);
    await turns(50);
    expect(source.pulled).toBeGreaterThan(paused + 100);
    session.end('cancelled');
    await turns();
    const numbers = dataIn(back.response).map((data) => Number(/\d+/.exec(data)));
    expect(numbers).toEqual(numbers.map((_, n) => n + 1));
    expect(numbers.length).toBeGreaterThan(paused + 100);
  });

  it('goes on when its client was too slow for it, left, and came back in the same turn', async () => {
    const app = new MemoryApp();
    const description = describeSession({});
    const { session, response } = app.open(description);
    response.pause();
    const source = counting(100_000);
    handle(session, source);
    const paused = await untilStill(source);
    response.disconnect();
    app.arrive(description, `${session.id}`);
    await turns(20);
    expect(source.pulled).toBeGreaterThan(paused + 5);
    session.end('cancelled');
  });

  it('that never waits does not keep the event loop for itself while nobody is attached', async () => {
    const app = new MemoryApp();
    const { session, response } = app.connect(describeSession({ maxBytes: 8_388_608 }));
    response.disconnect();
    const source = counting(1_000);
    handle(session, source);
    let most = 0;
    for (let before = 0, turn = 0; turn < 30; turn++) {
      await turns(1);
      most = Math.max(most, source.pulled - before);
      before = source.pulled;
    }
    // 64 KB a turn
    expect(most).toBeGreaterThan(20);
    expect(most).toBeLessThan(80);
    expect(source.pulled).toBeGreaterThan(500);
    session.end('cancelled');
  });

  it('is let go of at the end, though it is paused', async () => {
    const app = new MemoryApp();
    const { session, response } = app.connect(describeSession({ maxBytes: 2_000 }));
    response.disconnect();
    let returned = false;
    const source = (async function* () {
      try {
        for (;;) yield 'x'.repeat(100);
      } finally {
        returned = true;
      }
    })();
    handle(session, source);
    await turns(10);
    session.end('cancelled');
    await turns();
    expect(returned).toBe(true);
  });
});

describe('a connection of a resumable session', () => {
  it('that does not read is cut alone, and comes back to all that it missed', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { buffer: { maxBytes: 10_000 } });
    const slow = app.open(description);
    const fast = app.arrive(description);
    slow.session.send('first');
    await turns();
    slow.response.pause();
    for (let n = 1; n <= 40; n++) {
      slow.session.send(`<${n}>${'x'.repeat(1_000)}`);
      await turns(1);
    }
    expect(slow.response.isDestroyed).toBe(true);
    expect(slow.session).toMatchObject({ state: 'open', connections: 1, eventsDropped: 0 });
    expect(dataIn(fast.response)).toHaveLength(41);
    const again = app.arrive(description, committedIdOf(slow.response.received));
    await turns();
    expect(dataIn(again.response)).toHaveLength(40);
  });

  it('that had all there was and takes no more is cut in the turn in which more waits than may', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { buffer: { maxBytes: 10_000 } });
    const slow = app.open({ ...description, response: new MemoryResponse(100) });
    const fast = app.arrive(description);
    slow.response.pause();
    slow.session.send('x'.repeat(100));
    await turns();
    for (let n = 1; n <= 9; n++) slow.session.send(`<${n}>${'x'.repeat(1_000)}`);
    expect(slow.response.isDestroyed).toBe(false);
    for (let n = 10; n <= 11; n++) slow.session.send(`<${n}>${'x'.repeat(1_000)}`);
    expect(slow.response.isDestroyed).toBe(true);
    await turns();
    expect(dataIn(fast.response)).toHaveLength(12);
  });

  it('that comes back to more than buffer.maxBytes gets it, though more is sent meanwhile', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { buffer: { maxBytes: 10_000 } });
    const { session, response } = app.open(description);
    session.send('first');
    await turns();
    response.disconnect();
    for (let n = 1; n <= 1_000; n++) session.send(`<${n}>${'x'.repeat(1_000)}`);
    const back = new MemoryResponse();
    back.pause();
    app.arrive({ ...description, response: back }, committedIdOf(response.received));
    session.send('live');
    await turns();
    expect(back.isDestroyed).toBe(false);
    for (let n = 0; n < 50; n++) {
      back.resume();
      back.pause();
      await turns(1);
    }
    back.resume();
    await turns();
    expect(dataIn(back)).toHaveLength(1_001);
    expect(dataIn(back).at(-1)).toBe('live');
  });

  it.each([
    [{ maxEvents: 10, maxBytes: 3_000 }, 'whose client has just come'],
    [{ maxEvents: 10, maxBytes: 3_000 }, 'whose client had all there was'],
    [{ maxEvents: 10, maxBytes: 1_000_000 }, 'whose client had all there was'],
    [{ maxEvents: 1_000, maxBytes: 3_000 }, 'whose client had all there was'],
  ])('loses nothing of one large turn to a small log (%j), %s', async (limits, when) => {
    const app = new MemoryApp();
    const { session, response } = app.open(describeSession(limits));
    let last = 0;
    const send = (count: number, filler = ''): void => {
      for (let n = 0; n < count; n++) session.send(`${++last}${filler}`);
    };
    if (when === 'whose client had all there was') {
      send(1);
      await turns();
      send(1);
      await turns();
    }
    send(1_000);
    send(10, ` ${'x'.repeat(2_000)}`);
    await turns();
    expect(dataIn(response).map((data) => Number.parseInt(data))).toEqual(Array.from({ length: last }, (_, n) => n + 1));
  });

  it.each([
    ['that completes', (session: ManagedSession) => session.complete(), ['a', 'end']],
    ['that fails', (session: ManagedSession) => session.end('error', new Error('broken')), ['a', 'error', 'end']],
  ])('has the last event of a session %s, with a log of one', async (_, end, expected) => {
    const app = new MemoryApp();
    const { session, response } = app.open(describeSession({ maxEvents: 1 }, { endEvent: { type: 'end' } }));
    await turns();
    session.send('a');
    end(session);
    await turns();
    expect(dataIn(response).map((data) => data.split(' ')[0])).toEqual(expected);
    expect(session.state).toBe('closed');
  });

  it('leaves its last words to who comes back, though its response fails at what would be lost by them', async () => {
    const app = new MemoryApp();
    const description = describeSession({ maxEvents: 2 }, { endEvent: { type: 'end' } });
    const { session, response } = app.open(description);
    session.send('a');
    await turns();
    session.send('b');
    session.send('c');
    response.write = () => {
      throw new Error('not ours');
    };
    session.complete();
    expect(session.state).toBe('closed');
    const back = app.arrive(description, `${session.log!.token}:2`);
    await turns();
    expect(dataIn(back.response).map((data) => data.split(' ')[0])).toEqual(['c', 'end']);
    expect(back.response.received).toContain(':end\n');
  });

  /** A session whose client takes nothing any more. */
  async function stuck() {
    const app = new MemoryApp();
    const description = { ...describeSession({}), response: new MemoryResponse(10) };
    const { session, response } = app.open(description);
    response.pause();
    session.send('x'.repeat(100));
    await turns();
    return { app, description, session, response };
  }

  it('does not settle flushed() by leaving while another one has something', async () => {
    const { app, description, session, response } = await stuck();
    let isFlushed = false;
    void session.flushed().then(() => (isFlushed = true));
    const visitor = new MemoryResponse(10);
    visitor.pause();
    app.arrive({ ...description, response: visitor }, `${session.log!.token}:0`);
    await turns();
    visitor.disconnect();
    await turns();
    expect(isFlushed).toBe(false);
    response.disconnect();
    await turns();
    expect(isFlushed).toBe(true);
  });

  it('settles flushed() though another one, from before it came, takes nothing any more', async () => {
    const { app, description, session } = await stuck();
    const flushed: number[] = [];
    for (const n of [1, 2, 3]) void session.flushed().then(() => flushed.push(n));
    await turns();
    expect(flushed).toEqual([]);
    const back = app.arrive({ ...description, response: new MemoryResponse() }, `${session.log!.token}:0`);
    app.clock.advance(1);
    await turns();
    expect(dataIn(back.response)).toHaveLength(1);
    expect(flushed).toEqual([1, 2, 3]);
    expect(session.connections).toBe(2);
  });

  it('is written to though the response of another one throws whatever is done to it', async () => {
    const app = new MemoryApp();
    const description = describeSession({});
    const { session, response } = app.open(description);
    const bad = new MemoryResponse();
    app.arrive({ ...description, response: bad });
    session.send('one');
    await turns();
    const refuse = (): never => {
      throw new Error('not ours');
    };
    bad.write = bad.destroy = refuse;
    const ticks: (() => void)[] = [];
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((tick) => void ticks.push(tick as () => void));
    try {
      session.send('two');
      expect(ticks.shift()).toThrow('not ours');
      while (ticks.length > 0) ticks.shift()?.();
    } finally {
      nextTick.mockRestore();
    }
    expect(dataIn(response)).toEqual(['one', 'two']);
  });

  it('begins with its opening lines, though what hooks of its head send cuts another one', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { buffer: { maxBytes: 1_000 } });
    const slow = app.open({ ...description, response: new MemoryResponse(10) });
    const { session } = slow;
    slow.response.pause();
    // the response takes the first, and the second waits
    for (let n = 0; n < 2; n++) {
      session.send('x'.repeat(900));
      await turns();
    }
    const response = new MemoryResponse();
    const open = response.open.bind(response);
    response.open = () => {
      session.send('y'.repeat(600));
      open();
    };
    app.arrive({ ...description, response }, `${session.log!.token}:0`);
    await turns();
    expect(slow.response.isDestroyed).toBe(true);
    expect(response.received).toMatch(/^id: [\w-]{22}:0\ndata: xxx/);
    expect(dataIn(response)).toHaveLength(3);
    expect(app.events).toEqual(['open', 'detach slow-client', 'attach']);
  });

  it('gets comments too, of which none goes into the log', async () => {
    const app = new MemoryApp();
    const description = describeSession({});
    const { session, response } = app.open(description);
    const { tail } = { tail: session.eventsSent };
    session.comment('hello');
    await turns();
    expect(response.received).toContain(': hello\n');
    response.disconnect();
    session.comment('unheard');
    const back = app.arrive(description);
    await turns();
    expect(back.response.received).not.toContain('unheard');
    expect(session.eventsSent).toBe(tail);
  });

  it('gets a heartbeat of its own', async () => {
    const app = new MemoryApp();
    const description = describeSession({}, { heartbeat: { intervalMs: 1_000 } });
    const { session, response } = app.open(description);
    app.clock.advance(500);
    const second = app.arrive(description);
    app.clock.advance(600);
    expect(response.received).toContain(': heartbeat\n');
    expect(second.response.received).not.toContain(': heartbeat\n');
    app.clock.advance(500);
    expect(second.response.received).toContain(': heartbeat\n');
    handle(session, NEVER);
    session.end('cancelled');
  });

  it('before its headers takes no more than buffer.maxBytes', async () => {
    const app = new MemoryApp();
    const { session } = app.connect(describeSession({}, { buffer: { maxBytes: 10_000 } }));
    expect(session.send('x'.repeat(9_000))).toBe('accepted');
    expect(session.send('x'.repeat(9_000))).toBe('closed');
    expect(session).toMatchObject({ closeReason: 'slow-client', openedAt: undefined });
  });
});
