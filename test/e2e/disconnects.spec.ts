import { randomInt } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { RequestMethod } from '@nestjs/common';
import type { SseSource } from 'nestjs-sse-session';
import { NEVER, Observable, concat, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM, endedBy, expectEnd, startLife, turns } from '../support/life.js';
import { connect } from '../support/raw-client.js';

type Leave = 'fin' | 'reset';
const WAYS: Leave[] = ['fin', 'reset'];

/** A promise, and what resolves it. */
function gate<T = void>() {
  let open: (value: T) => void = () => undefined;
  const passed = new Promise<T>((resolve) => (open = resolve));
  return { passed, open };
}

describeEachAdapter('A client that leaves', ({ startApp }) => {
  it.each(WAYS)('while a guard awaits makes no session that lives on (%s)', async (leave) => {
    const guard = gate();
    let reached = 0;
    let subscribed = 0;
    const life = await startLife(
      startApp,
      () =>
        new Observable(() => {
          subscribed++;
        }),
      {
        app: {
          configure: (app) =>
            void app.useGlobalGuards({
              canActivate: async () => {
                reached++;
                await guard.passed;
                return true;
              },
            }),
        },
      },
    );
    const client = await life.get();
    await eventually(() => reached === 1);
    await client[leave]();
    await turns(10);
    guard.open();
    await turns(20);
    // the server may hear of the client after the guard: then there was a session, which has ended
    await eventually(() => expect(life.manager.size).toBe(0));
    expect(endedBy(life.manager.stats())).toEqual(life.ends.length === 0 ? {} : { 'client-disconnect': 1 });
    expect(subscribed).toBe(0);
    expect(life.sessions).toHaveLength(0);
  });

  it.each(WAYS)('while a pipe awaits ends its session at once; the source is never subscribed (%s)', async (leave) => {
    const pipe = gate();
    let reached = 0;
    let subscribed = 0;
    const life = await startLife(
      startApp,
      () =>
        new Observable(() => {
          subscribed++;
        }),
      {
        app: {
          configure: (app) =>
            void app.useGlobalPipes({
              transform: async (value: unknown) => {
                reached++;
                await pipe.passed;
                return value;
              },
            }),
        },
      },
    );
    const client = await life.get();
    await eventually(() => reached > 0);
    expect(life.manager.size).toBe(1);
    await client[leave]();
    await expectEnd(life, 'client-disconnect', { opened: false, levels: ['route', 'provider'] });
    pipe.open();
    await turns(20);
    expect(subscribed).toBe(0);
    expect(life.ends).toHaveLength(1);
  });

  it.each(WAYS)('while the handler awaits aborts the signal at once; the late source is disposed of, never read (%s)', async (leave) => {
    const handler = gate<SseSource>();
    const life = await startLife(startApp, () => handler.passed as Promise<never>);
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    const { signal } = life.sessions[0]!;
    expect(signal.aborted).toBe(false);
    await client[leave]();
    await eventually(() => signal.aborted);
    expect(signal.reason).toMatchObject({ name: 'AbortError' });
    await expectEnd(life, 'client-disconnect', { opened: false });
    let read = 0;
    const late = (async function* () {
      read++;
      yield 'late';
    })();
    handler.open(late);
    await turns();
    expect(await late.next()).toEqual({ done: true, value: undefined });
    expect(read).toBe(0);
  });

  it('while the handler awaits, and the handler fails with the abort, ends once as client-disconnect', async () => {
    const life = await startLife(
      startApp,
      (session) =>
        new Promise<never>((_resolve, reject) => session.signal.addEventListener('abort', () => reject(session.signal.reason as Error))),
    );
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    await client.fin();
    await expectEnd(life, 'client-disconnect', { opened: false });
    expect(life.logged).toEqual([]);
  });

  it.each(WAYS)('after a POST whose body was consumed long ago is noticed, and nothing before that is taken for it (%s)', async (leave) => {
    const life = await startLife(startApp, () => concat(of('first'), NEVER), { route: { method: RequestMethod.POST } });
    const client = await connect(life.port);
    client.request(
      'POST',
      '/life',
      { 'Content-Type': 'application/json', ...EVENT_STREAM },
      JSON.stringify({ prompt: 'x'.repeat(50_000) }),
    );
    await client.waitFor('first');
    await turns(50);
    expect(life.sessions[0]).toMatchObject({ state: 'open' });
    await client[leave]();
    await expectEnd(life, 'client-disconnect');
  });

  it('before its POST body is complete runs no handler', async () => {
    const life = await startLife(startApp, () => NEVER, { route: { method: RequestMethod.POST } });
    const client = await connect(life.port);
    client.write('POST /life HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"prompt":');
    await turns(20);
    await client.fin();
    await turns(20);
    expect(life.sessions).toHaveLength(0);
    expect(life.manager.size).toBe(0);
  });

  it.each(WAYS)('between the handler and the opening gets no headers and no onOpen with first-event (%s)', async (leave) => {
    let torn = 0;
    const life = await startLife(startApp, () => new Observable(() => () => torn++), { route: { openOn: 'first-event' } });
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    await turns(10);
    await client[leave]();
    await expectEnd(life, 'client-disconnect', { opened: false });
    expect(torn).toBe(1);
    expect(client.bytesReceived).toBe(0);
  });

  it('in the very turn in which its handler resolves ends its session once', async () => {
    let torn = 0;
    let subscribed = 0;
    const life = await startLife(
      startApp,
      async (session) => {
        // the server's own socket: gone before the headers go out
        sockets.at(-1)?.destroy();
        await Promise.resolve();
        session.data.destroyed = true;
        return new Observable(() => {
          subscribed++;
          return () => torn++;
        });
      },
      { app: { configure: (app) => void (app.getHttpServer() as Listening).on('connection', (socket) => sockets.push(socket)) } },
    );
    const client = await life.get();
    await client.closed;
    await expectEnd(life, 'client-disconnect', { opened: false });
    expect(torn).toBe(subscribed);
  });

  it.each(WAYS)('at any moment from 0 to 50 ms after its request leaves nothing behind (%s)', async (leave) => {
    const RUNS = 60;
    let subscribed = 0;
    let torn = 0;
    const slowly = () => new Promise<void>((resolve) => setTimeout(resolve, randomInt(0, 15)));
    const life = await startLife(
      startApp,
      async () => {
        await slowly();
        return new Observable((subscriber) => {
          subscribed++;
          const timer = setInterval(() => subscriber.next('tick'), 3);
          return () => {
            clearInterval(timer);
            torn++;
          };
        });
      },
      {
        app: {
          configure: (app) => {
            app.useGlobalGuards({ canActivate: () => slowly().then(() => true) });
            app.useGlobalPipes({ transform: (value: unknown) => slowly().then(() => value) });
          },
        },
      },
    );
    await Promise.all(
      Array.from({ length: RUNS }, async () => {
        const client = await life.get();
        await new Promise((resolve) => setTimeout(resolve, randomInt(0, 51)));
        await client[leave]();
      }),
    );
    await eventually(() => expect(life.manager.size).toBe(0));
    // what was in a guard when its client left may still come
    await eventually(async () => {
      const before = life.ends.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return life.ends.length === before && life.manager.size === 0;
    });
    expect(torn).toBe(subscribed);
    expect(endedBy(life.manager.stats())).toEqual({ 'client-disconnect': life.ends.length });
    expect(new Set(life.ends.map(({ session }) => session.id)).size).toBe(life.ends.length);
    expect(life.log.filter((line) => line === 'route completion client-disconnect')).toHaveLength(life.ends.length);
    expect(life.logged).toEqual([]);
  });
});

interface Listening {
  on(event: 'connection', listener: (socket: { destroy(): void }) => void): void;
}

const sockets: { destroy(): void }[] = [];
