import { AsyncLocalStorage } from 'node:async_hooks';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect, it } from '@jest/globals';
import { Controller, HttpException, Query, Scope, UnauthorizedException } from '@nestjs/common';
import { ManagedSse, type SseSession, type SseSource } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, Observable, Subject, concat, of, throwError } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { exposeGc } from '../support/gc.js';
import { endless, startLife, turns, untilBlocked } from '../support/life.js';

const RETRY = 'retry: 2000\n';
const forever = () => concat(of('first'), NEVER);

describeEachAdapter('Invariant', ({ startApp }) => {
  it('1: every session gets exactly one onCompletion, also one that failed or was left before it opened; the other hooks run before it', async () => {
    const clock = new FakeClock();
    const pushed = new Subject<string>();
    const handlers: Record<string, (session: SseSession) => SseSource | Promise<SseSource>> = {
      complete: () => of('a'),
      forever,
      never: () => new Promise<never>(() => undefined),
      throws: () => fail(new UnauthorizedException()),
      'fails-late': () => concat(of('first'), pushed),
      flood: (session) => {
        session.onOpen(() => Array.from({ length: 8 }, () => session.send('x'.repeat(40_000))));
      },
    };
    const calls = new Map<SseSession, string[]>();
    const note = (session: SseSession, call: string) => void calls.set(session, [...(calls.get(session) ?? []), call]);
    const life = await startLife(
      startApp,
      (session, { query }) => {
        session.onOpen((...args) => note(session, `open/${args.length}`));
        session.onTimeout((...args) => note(session, `timeout/${args.length}`));
        session.onError((given, error) => note(session, `error ${String(given === session && error === session.error)}`));
        session.onCompletion((given, reason) => note(session, `completion ${given === session ? reason : 'of another'}`));
        return handlers[query.run ?? '']!(session);
      },
      { clock, route: { timeoutMs: 60_000, buffer: { maxBytes: 100_000 } } },
    );
    const open = (run: string) => life.get(`/life?run=${run}`);

    await (await open('complete')).whole();
    await (await (await open('forever')).waitFor('first'), life.manager.cancelAll({ state: 'open' }));
    const left = await open('forever');
    await left.waitFor('first');
    await left.reset();
    const leftEarly = await open('never');
    await eventually(() => life.manager.find({ state: 'connecting' }).length === 1);
    await leftEarly.fin();
    expect((await (await open('throws')).whole()).status).toBe(401);
    const failing = await open('fails-late');
    await failing.waitFor('first');
    pushed.error(new Error('x'));
    await failing.whole();
    await (
      await open('flood')
    ).closed;
    const late = await open('forever');
    const lateEarly = await open('never');
    await late.waitFor('first');
    await eventually(() => life.manager.find({ state: 'connecting' }).length === 1);
    clock.advance(60_100);
    await Promise.all([late.whole(), lateEarly.whole()]);
    const last = await open('forever');
    await last.waitFor('first');
    await life.close();

    await eventually(() => expect(life.ends).toHaveLength(life.sessions.length));
    await turns();
    expect(life.ends.map(({ session }) => calls.get(session)?.join(', '))).toEqual([
      'open/1, completion complete',
      'open/1, completion cancelled',
      'open/1, completion client-disconnect',
      'completion client-disconnect',
      'error true, completion error',
      'open/1, error true, completion error',
      'open/1, error true, completion slow-client',
      expect.stringMatching(/^(open\/1, )?timeout\/1, completion timeout$/),
      expect.stringMatching(/^(open\/1, )?timeout\/1, completion timeout$/),
      'open/1, completion shutdown',
    ]);
    expect(new Set(life.ends.map(({ session }) => session.id)).size).toBe(life.sessions.length);
  });

  it('1: `this` in a route hook is the controller; for a request-scoped one whose handler never ran, undefined', async () => {
    const owners: unknown[] = [];
    @Controller({ path: 'scoped', scope: Scope.REQUEST })
    class ScopedController {
      readonly name = 'scoped';

      @ManagedSse<ScopedController>('run', {
        onCompletion(_session, reason) {
          owners.push(`${this?.name} ${reason}`);
        },
      })
      run(@Query('n') _n?: string): SseSource {
        return of('a');
      }
    }
    let refuse = false;
    const life = await startLife(startApp, forever, {
      app: {
        controllers: [ScopedController],
        configure: (app) =>
          void app.useGlobalPipes({ transform: (value: unknown) => (refuse ? fail(new HttpException('no', 400)) : value) }),
      },
    });
    await (await life.get('/scoped/run')).whole();
    await eventually(() => expect(owners).toEqual(['scoped complete']));
    refuse = true;
    await (await life.get('/scoped/run?n=1')).whole();
    await eventually(() => expect(owners).toEqual(['scoped complete', 'undefined error']));
    await (await life.get()).whole();
    // the route hooks of the singleton ran with its instance although its handler never did
    await eventually(() => expect(life.log).toContain('route completion error'));
  });

  it('2: when onCompletion runs, the session is out of the manager, its signal aborted, its source let go of, its timers gone', async () => {
    const clock = new FakeClock();
    let teardowns = 0;
    let returns = 0;
    const sources: Record<string, () => SseSource> = {
      observable: () =>
        new Observable((subscriber) => {
          subscriber.next('first');
          return () => teardowns++;
        }),
      iterator: () => iterable({ first: 'first', onReturn: () => (returns++, new Promise<never>(() => undefined)) }),
    };
    const seen: unknown[] = [];
    const life = await startLife(
      startApp,
      (session, { query }) => {
        session.onCompletion(() =>
          seen.push({
            source: query.source,
            managed: life.manager.has(session.id),
            found: life.manager.find({ route: 'GET /life' }).length,
            aborted: session.signal.aborted,
            state: session.state,
            sent: session.send('late'),
            teardowns,
            returns,
          }),
        );
        return sources[query.source ?? '']!();
      },
      { clock, route: { heartbeat: { intervalMs: 1_000 }, idleTimeoutMs: 5_000, timeoutMs: 60_000 } },
    );
    for (const source of Object.keys(sources)) {
      const client = await life.get(`/life?source=${source}`);
      await client.waitFor('first');
      await client.fin();
      await eventually(() => life.manager.size === 0);
    }
    const gone = { managed: false, found: 0, aborted: true, state: 'closed', sent: 'closed' };
    expect(seen).toEqual([
      { source: 'observable', ...gone, teardowns: 1, returns: 0 },
      { source: 'iterator', ...gone, teardowns: 1, returns: 1 },
    ]);
    clock.advance(15_000);
    expect(clock.pending).toBe(0);
    expect(life.ends).toHaveLength(2);
  });

  it('3: a hook that throws, rejects or hangs is logged and delays nothing, and the other hooks still run', async () => {
    const life = await startLife(
      startApp,
      (session) => {
        session.onCompletion(() => fail(new Error('thrown by a hook')));
        session.onCompletion(() => Promise.reject(new Error('rejected by a hook')));
        session.onCompletion(() => new Promise(() => undefined));
        session.onCompletion(() => life.log.push('after the bad ones'));
        return of('a');
      },
      { module: { shutdown: { timeoutMs: 100 } } },
    );
    await (await life.get()).whole();
    await eventually(() => expect(life.ends).toHaveLength(1));
    await turns();
    expect(life.log).toEqual([
      ...['events$ open', 'session open', 'route open', 'provider open'],
      ...['session completion complete', 'after the bad ones', 'route completion complete', 'provider completion complete'],
      'events$ completion complete',
    ]);
    expect(life.logged.filter((line) => line.includes('by a hook'))).toEqual([
      expect.stringContaining('threw: Error: thrown by a hook'),
      expect.stringContaining('rejected: Error: rejected by a hook'),
    ]);
  });

  const lateSources: [string, (log: string[]) => SseSource][] = [
    [
      'a Readable is destroyed',
      (log) => new Readable({ read: () => undefined, destroy: (_error, done) => (log.push('let go'), done(null)) }),
    ],
    ['a ReadableStream is cancelled', (log) => new ReadableStream({ cancel: () => void log.push('let go') })],
    ['what has destroy() is destroyed', (log) => ({ ...iterable({ log }), destroy: () => log.push('let go') }) as never],
    ['what has cancel() is cancelled', (log) => ({ ...iterable({ log }), cancel: () => log.push('let go') }) as never],
    [
      'what has Symbol.asyncDispose is disposed of',
      (log) => ({ ...iterable({ log }), [symbolOf('asyncDispose')]: async () => log.push('let go') }) as never,
    ],
    [
      'what has Symbol.dispose is disposed of',
      (log) => ({ ...iterable({ log }), [symbolOf('dispose')]: () => log.push('let go') }) as never,
    ],
    [
      'an AbortController that it carries is aborted',
      (log) => {
        const controller = new AbortController();
        controller.signal.addEventListener('abort', () => log.push('let go'));
        return { ...iterable({ log }), controller } as never;
      },
    ],
    ['an iterator returns', (log) => iterable({ log, onReturn: () => (log.push('let go'), Promise.resolve()) })],
    [
      'an Observable is not subscribed',
      (log) => {
        log.push('let go');
        return new Observable(() => void log.push('subscribed'));
      },
    ],
  ];

  it.each(lateSources.filter(([what]) => !what.includes('ispose of') || symbolsExist()))(
    '4: the client leaves while the handler awaits: the signal aborts at once; the late source is not read: %s',
    async (_what, makeSource) => {
      const log: string[] = [];
      let returnSource: () => void = () => undefined;
      const life = await startLife(startApp, (session) => {
        session.signal.addEventListener('abort', () => log.push('aborted'));
        return new Promise<SseSource>((resolve) => (returnSource = () => resolve(makeSource(log)))) as Promise<never>;
      });
      const client = await life.get();
      await eventually(() => life.sessions.length === 1);
      await client.fin();
      await eventually(() => expect(life.ends.map(({ reason }) => reason)).toEqual(['client-disconnect']));
      expect(log).toEqual(['aborted']);
      returnSource();
      await eventually(() => expect(log).toEqual(['aborted', 'let go']));
      await turns();
      expect(log).toEqual(['aborted', 'let go']);
      expect(life.ends).toHaveLength(1);
    },
  );

  it('5: nothing of a session is reachable after its end: heap, sockets, listeners, timers', async () => {
    const clock = new FakeClock();
    const references: WeakRef<object>[] = [];
    const sockets: Socket[] = [];
    const life = await startLife(
      startApp,
      (session, { query }) => {
        const source = query.end === 'complete' ? of('a') : forever();
        references.push(new WeakRef(source), new WeakRef(session), new WeakRef((session.data.own = {})));
        return source;
      },
      {
        clock,
        app: { configure: (app) => void (app.getHttpServer() as Server).on('connection', (socket: Socket) => sockets.push(socket)) },
      },
    );
    const ended = () => eventually(() => life.manager.size === 0);
    // one connection is kept alive over several sessions: nothing of them may stay on its socket
    const client = await life.get('/life?end=complete');
    await client.whole();
    await ended();
    const listeners = () => sockets[0]!.eventNames().map((name) => [name, sockets[0]!.listenerCount(name)]);
    const before = listeners();
    for (let run = 0; run < 5; run++) {
      await client.request('GET', '/life?end=complete').whole();
      await ended();
    }
    expect(listeners()).toEqual(before);
    await client.fin();
    for (const leave of ['fin', 'reset'] as const) {
      const leaving = await life.get('/life?end=never');
      await leaving.waitFor('first');
      await leaving[leave]();
      await ended();
    }
    await eventually(() => expect(life.ends).toHaveLength(8));
    clock.advance(60_000);
    expect(clock.pending).toBe(0);
    life.forget();
    sockets.length = 0;
    // Node, the framework and rxjs may hold their last request until the next one comes
    await (await life.get('/nowhere')).whole();
    const collect = exposeGc();
    await eventually(async () => {
      await turns(20);
      collect();
      expect(references.filter((reference) => reference.deref() !== undefined)).toHaveLength(0);
    });
  });

  it('6: no byte is written before the headers go out, and what fails until then has its own HTTP status', async () => {
    const steps: Record<string, () => void> = {};
    const step = (name: string) => new Promise<void>((resolve) => (steps[name] = resolve));
    const life = await startLife(
      startApp,
      async (_session, { query }) => {
        await step('handler');
        if (query.fail === 'handler') throw new HttpException('no', 402);
        return (async function* () {
          await step('first');
          if (query.fail === 'source') throw new HttpException('upstream said 401', 401);
          yield 'first';
        })();
      },
      {
        route: { openOn: 'first-event' },
        app: {
          configure: (app) => {
            app.useGlobalGuards({
              canActivate: async (context) => {
                await step('guard');
                return userRequest(context).query.fail !== 'guard';
              },
            });
            app.useGlobalPipes({
              transform: async (value: unknown, metadata) => {
                // once for the session, not for the request
                if ((value as { query?: unknown }).query === undefined || metadata.type !== 'custom') await step('pipe');
                return value;
              },
            });
          },
        },
      },
    );
    const run = async (fail: string) => {
      const client = await life.get(`/life?fail=${fail}`, { Accept: 'text/event-stream' });
      const passed: string[] = [];
      while (client.response === undefined) {
        await eventually(() => client.response !== undefined || Object.keys(steps).length > 0);
        for (const [name, go] of Object.entries(steps)) {
          await turns();
          expect(client.bytesReceived).toBe(0);
          passed.push(name);
          delete steps[name];
          go();
        }
      }
      return { status: client.response.status, passed: [...new Set(passed)].join() };
    };
    expect(await run('guard')).toEqual({ status: 403, passed: 'guard' });
    expect(await run('handler')).toEqual({ status: 402, passed: 'guard,pipe,handler' });
    expect(await run('source')).toEqual({ status: 401, passed: 'guard,pipe,handler,first' });
    expect(await run('nothing')).toEqual({ status: 200, passed: 'guard,pipe,handler,first' });
    expect(life.log).toEqual(expect.arrayContaining(['provider completion error', 'provider open']));
  });

  it('7: after the headers an error is one event, then the end; never the raw message', async () => {
    const values = new Subject<string>();
    const life = await startLife(startApp, () => concat(of('first'), values, of('never')));
    const client = await life.get();
    await client.waitFor('first');
    values.error(new Error('secret'));
    const { body, complete } = await client.whole();
    expect({ body, complete }).toEqual({
      body: `${RETRY}data: first\n\nevent: error\ndata: Internal server error\n\n`,
      complete: true,
    });
    const http = await startLife(startApp, () =>
      concat(
        of('first'),
        throwError(() => new HttpException('for all to see', 400)),
      ),
    );
    // the first event came in the same turn, before the headers: still an HTTP status
    expect((await (await http.get()).whole()).status).toBe(400);
  });

  it('8: timers never fire before their deadline, and at most 100 ms late', async () => {
    const clock = new FakeClock();
    clock.advance(17);
    const endedAt = new Map<string, number>();
    const life = await startLife(
      startApp,
      (session) => {
        session.signal.addEventListener('abort', () => endedAt.set(session.id, clock.now()));
        return forever();
      },
      { clock, route: { timeoutMs: 12_345, heartbeat: false } },
    );
    const started = new Map<string, number>();
    for (let run = 0; run < 12; run++) {
      clock.advance(7 * run + 1);
      await (await life.get()).waitFor('first');
      started.set(life.sessions[run]!.id, clock.now());
    }
    for (let ms = 0; ms < 13_000; ms++) clock.advance(1);
    expect(endedAt.size).toBe(12);
    for (const [id, at] of endedAt) {
      const late = at - started.get(id)! - 12_345;
      expect(late).toBeGreaterThanOrEqual(0);
      expect(late).toBeLessThanOrEqual(100);
    }
  });

  it('9: a pull source is paused while its client takes no more, and overflow concerns pushed events alone', async () => {
    let pulled = 0;
    let returned = 0;
    const life = await startLife(
      startApp,
      async function* () {
        try {
          for await (const text of endless(10_000)) {
            pulled++;
            yield text;
          }
        } finally {
          returned++;
        }
      },
      { route: { buffer: { maxBytes: 20_000, overflow: 'close' } } },
    );
    const client = await life.get();
    await client.head();
    client.pause();
    const session = life.sessions[0]!;
    await untilBlocked(session);
    const atRest = pulled;
    expect(session.state).toBe('open');
    await turns(50);
    expect(pulled).toBe(atRest);
    client.resume();
    await eventually(() => pulled > atRest + 100);
    await client.fin();
    await eventually(() =>
      expect({ returned, reasons: life.ends.map(({ reason }) => reason) }).toEqual({ returned: 1, reasons: ['client-disconnect'] }),
    );
  });

  it('9: one event larger than maxBytes, with nothing before it, is written', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 1_000 } } });
    const client = await life.get();
    await client.head();
    const large = 'y'.repeat(1_000_000);
    expect(life.sessions[0]?.send(large)).toBe('accepted');
    expect((await client.waitFor('yy\n\n')).body).toBe(`${RETRY}data: ${large}\n\n`);
  });

  it('9: `latest` delivers the newest per type in the order of their arrival, and counts what they replaced', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 150_000, overflow: 'latest' } } });
    const client = await life.get();
    await client.head();
    client.pause();
    const session = life.sessions[0]!;
    for (let n = 0; n < 300; n++) {
      expect(session.send({ data: `${n} ${'z'.repeat(40_000)}`, type: ['a', 'b', 'c'][n % 3]! })).toBe('accepted');
      await turns(1);
    }
    expect(session.send({ data: 'newest', type: 'b' })).toBe('accepted');
    session.complete();
    client.resume();
    const { body } = await client.whole();
    const events = [...body.matchAll(/event: (.)\ndata: (\w+)/g)].map(([, type, data]) => `${type} ${data}`);
    expect(events.slice(-3)).toEqual(['a 297', 'c 299', 'b newest']);
    expect(session.eventsDropped).toBeGreaterThan(0);
    expect(session.eventsDropped + events.length).toBe(301);
    expect(session.eventsSent).toBe(events.length);
  });

  it('10: source and hooks run in the context of their own request, shared timers in none', async () => {
    const storage = new AsyncLocalStorage<string>();
    const clock = new FakeClock();
    const seen: string[] = [];
    const note = (what: string) => seen.push(`${what} ${storage.getStore() ?? 'nobody'}`);
    const life = await startLife(
      startApp,
      (session) => {
        session.onOpen(() => note('open'));
        session.onTimeout(() => note('timeout'));
        session.onCompletion(() => note('completion'));
        session.signal.addEventListener('abort', () => note('abort'));
        return (async function* () {
          note('source');
          yield 'first';
          await new Promise(() => undefined);
        })();
      },
      {
        clock,
        route: { timeoutMs: 1_000 },
        app: {
          configure: (app) => {
            app.use((request: { headers: Record<string, string> }, _response: unknown, next: () => void) =>
              storage.run(request.headers['x-user'] ?? 'nobody', next),
            );
          },
        },
      },
    );
    for (const user of ['ann', 'bob']) await (await life.get('/life', { 'X-User': user })).waitFor('first');
    storage.run('the one who moves the clock', () => clock.advance(1_100));
    await eventually(() => expect(life.ends).toHaveLength(2));
    const of = (user: string) => seen.filter((line) => line.endsWith(user)).map((line) => line.split(' ')[0]);
    expect(of('ann')).toEqual(['open', 'source', 'abort', 'timeout', 'completion'].sort(byOrderIn(of('ann'))));
    expect(of('bob').sort()).toEqual(['abort', 'completion', 'open', 'source', 'timeout']);
    expect(seen).toHaveLength(10);
  });
});

function fail(error: Error): never {
  throw error;
}

function userRequest(context: { switchToHttp(): { getRequest(): unknown } }): { query: { fail?: string } } {
  return context.switchToHttp().getRequest() as { query: { fail?: string } };
}

interface IterableOptions {
  readonly first?: string;
  readonly log?: string[];
  readonly onReturn?: () => Promise<unknown>;
}

/** An async iterable that is no generator: after `first` its `next()` is pending for ever. */
function iterable({ first, log, onReturn }: IterableOptions): AsyncIterable<string> {
  let given = first === undefined;
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        log?.push('read');
        if (given) return new Promise<never>(() => undefined);
        given = true;
        return Promise.resolve({ done: false, value: first as string });
      },
      ...(onReturn && { return: async () => (await onReturn(), { done: true as const, value: undefined }) }),
    }),
  };
}

function symbolOf(name: 'asyncDispose' | 'dispose'): symbol {
  return (Symbol as unknown as Record<string, symbol>)[name] ?? Symbol(name);
}

function symbolsExist(): boolean {
  return 'asyncDispose' in Symbol && 'dispose' in Symbol;
}

function byOrderIn(order: (string | undefined)[]): (a: string, b: string) => number {
  return (a, b) => order.indexOf(a) - order.indexOf(b);
}
