import { expect, it } from '@jest/globals';
import type { ManagedSseOptions } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { describeEachAdapter } from '../support/apps.js';
import { endless, startLife, turns, untilBlocked } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

const RETRY = 'retry: 2000\n';
const BEAT = ': heartbeat\n';

describeEachAdapter('A heartbeat', ({ startApp }) => {
  const start = async (route: ManagedSseOptions = {}) => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => undefined, { clock, route });
    const client = await life.get();
    await client.head();
    const [session] = life.sessions;
    if (!session) throw new Error('no session');
    return { clock, client, session, life };
  };

  it('is one comment line, without a blank line, whenever nothing was written for 15 s', async () => {
    const { clock, client } = await start();
    clock.advance(14_999);
    await turns();
    expect(client.body).toBe(RETRY);
    clock.advance(101);
    await client.waitFor(`${RETRY}${BEAT}`);
    clock.advance(15_100);
    await client.waitFor(`${RETRY}${BEAT}${BEAT}`);
    expect(client.body).toBe(`${RETRY}${BEAT}${BEAT}`);
  });

  it('is put off by everything that is written: events and comments', async () => {
    const { clock, client, session } = await start({ heartbeat: { intervalMs: 1_000 } });
    for (const say of [() => session.send('a'), () => session.comment('b'), () => session.send('c')]) {
      clock.advance(900);
      say();
      await turns();
    }
    clock.advance(999);
    const written = `${RETRY}data: a\n\n: b\ndata: c\n\n`;
    await client.waitFor(written);
    expect(client.body).toBe(written);
    clock.advance(101);
    await client.waitFor(`${written}${BEAT}`);
  });

  it('says what the application wants it to say', async () => {
    const { clock, client } = await start({ heartbeat: { intervalMs: 500, comment: 'still here' } });
    clock.advance(600);
    await client.waitFor(`${RETRY}: still here\n`);
  });

  it('is never written with heartbeat false', async () => {
    const { clock, client, session } = await start({ heartbeat: false, timeoutMs: false });
    clock.advance(24 * 3_600_000);
    session.send('end');
    expect((await client.waitFor('end')).body).toBe(`${RETRY}data: end\n\n`);
  });

  it('is not written while something waits: a client that does not read gets no more', async () => {
    const clock = new FakeClock();
    const route = { heartbeat: { intervalMs: 1_000 }, buffer: { stallTimeoutMs: 60_000 } };
    const life = await startLife(startApp, () => endless(), { clock, route });
    const client = await life.get();
    await client.head();
    client.pause();
    const [session] = life.sessions;
    await untilBlocked(session!);
    const { bytesSent, pendingBytes } = session!;
    clock.advance(30_000);
    await turns();
    expect(session).toMatchObject({ bytesSent, pendingBytes, state: 'open' });
  });

  it('is never written before the stream is open, nor after its end', async () => {
    const clock = new FakeClock();
    const waiting = await startLife(startApp, () => new Promise<never>(() => undefined), {
      clock,
      route: { heartbeat: { intervalMs: 1_000 } },
    });
    const client = await waiting.get();
    await turns(50);
    clock.advance(10_000);
    await turns(50);
    expect(client.bytesReceived).toBe(0);

    const ended = await start({ heartbeat: { intervalMs: 1_000 } });
    ended.session.complete();
    await ended.client.whole();
    ended.clock.advance(10_000);
    await turns();
    expect(ended.client.body).toBe(`${RETRY}\n`);
  });

  it('beats for every session on its own', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => undefined, { clock, route: { heartbeat: { intervalMs: 1_000 } } });
    const clients: RawClient[] = [];
    for (let n = 0; n < 3; n++) {
      const client = await life.get();
      await client.head();
      clients.push(client);
      clock.advance(300);
    }
    const beats = () => clients.map(({ body }) => body.split(BEAT).length - 1);
    clock.advance(150);
    await clients[0]!.waitFor(BEAT);
    await turns();
    expect(beats()).toEqual([1, 0, 0]);
    clock.advance(300);
    await clients[1]!.waitFor(BEAT);
    await turns();
    expect(beats()).toEqual([1, 1, 0]);
  });
});
