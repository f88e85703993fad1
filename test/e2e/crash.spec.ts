import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import type { CloseReason, SseSession, SseSource } from 'nestjs-sse-session';
import { NEVER, Observable, concat, of } from 'rxjs';
import { type Harness, describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { type Life, type LifeHandler, type LifeOptions, startLife, turns } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

/*
 * Whatever an application does, the process lives on: Jest fails a test in which an uncaughtException or an unhandledRejection occurs, and
 * every test here asks the server once more afterwards.
 */

const GOOD = 'retry: 2000\ndata: good\n\n';

class NoString {
  toString(): string {
    throw new Error('not even this');
  }
}

function boom(what = 'boom'): never {
  throw new Error(what);
}

/** Starts an application whose `/life?good` serves, whatever `/life` does. */
function startHostile(startApp: Harness['startApp'], handler: LifeHandler, options: LifeOptions = {}): Promise<Life> {
  return startLife(startApp, (session, request) => (request.query.good === undefined ? handler(session, request) : of('good')), {
    ...options,
    module: { shutdown: { timeoutMs: 200 }, ...options.module },
  });
}

/** All that was left unhandled has come up by now, and the server still serves. */
async function expectServing(life: Life, ended: readonly CloseReason[]): Promise<void> {
  await eventually(() => expect(life.ends.map(({ reason }) => reason)).toEqual(ended));
  await turns(20);
  expect((await (await life.get('/life?good')).whole()).body).toBe(GOOD);
  await eventually(() => expect(life.ends).toHaveLength(ended.length + 1));
  expect(life.manager.size).toBe(0);
  expect(life.log.filter((line) => line.startsWith('provider completion'))).toHaveLength(ended.length + 1);
}

describeEachAdapter('The process survives', ({ startApp }) => {
  const badHooks: [string, () => unknown][] = [
    ['throw an Error', () => boom()],
    ['throw nothing at all', () => raise(undefined)],
    ['throw what has no text', () => raise(new NoString())],
    ['reject', () => Promise.reject(new Error('boom'))],
    ['reject with nothing', () => rejection(undefined)],
    ['reject with what has no text', () => rejection(new NoString())],
    ['hang', () => new Promise(() => undefined)],
    ['return a promise-like whose then() throws', () => ({ then: () => boom() })],
  ];
  it.each(badHooks)('hooks that %s', async (_what, hook) => {
    const life = await startHostile(startApp, (session) => {
      session.onOpen(hook);
      session.onTimeout(hook);
      session.onError(hook);
      session.onCompletion(hook);
      return concat(of('first'), NEVER);
    });
    for (const leave of ['fin', 'reset'] as const) {
      const client = await life.get();
      await client.waitFor('first');
      await client[leave]();
    }
    await expectServing(life, ['client-disconnect', 'client-disconnect']);
  });

  const badSources: [string, () => SseSource, CloseReason][] = [
    ['an iterator whose next() throws', () => iterator({ next: () => boom() }), 'error'],
    ['an iterator whose next() gives nothing', () => iterator({ next: () => undefined }), 'error'],
    ['an iterator whose next() gives a number', () => iterator({ next: () => 42 }), 'error'],
    ['an iterator whose next() rejects with nothing', () => iterator({ next: () => rejection(undefined) }), 'error'],
    ['an iterator whose next() rejects with what has no text', () => iterator({ next: () => rejection(new NoString()) }), 'error'],
    ['an iterator without next()', () => iterator({}), 'error'],
    [
      'an iterator whose result throws when it is read',
      () => iterator({ next: () => Object.defineProperty({}, 'done', { get: () => boom() }) }),
      'error',
    ],
    ['an iterable whose iterator cannot be made', () => ({ [Symbol.asyncIterator]: () => boom() }), 'error'],
    ['an iterable without an iterator', () => ({ [Symbol.asyncIterator]: () => null }) as never, 'error'],
    ['a Readable that fails', () => new Readable({ read: () => boom() }), 'error'],
    ['a Readable that was destroyed before', () => destroyed(), 'error'],
    ['a ReadableStream that is locked', () => locked(), 'error'],
    ['an Observable that throws on subscription', () => new Observable(() => boom()), 'error'],
    ['an Observable that fails with nothing', () => new Observable((subscriber) => subscriber.error(undefined)), 'error'],
    ['undefined as an event', () => of(undefined), 'error'],
    ['an object that refers to itself', () => of(circular()), 'error'],
    ['an object whose toJSON() throws', () => of({ toJSON: () => boom() }), 'error'],
    [
      'a proxy that throws at everything',
      () => of(new Proxy({}, { ownKeys: () => boom(), getPrototypeOf: () => boom(), get: () => boom() })),
      'error',
    ],
  ];
  it.each(badSources)('%s', async (_what, source, reason) => {
    const life = await startHostile(startApp, () => source());
    const client = await life.get();
    const { status } = await client.whole();
    expect(status).toBe(500);
    await expectServing(life, [reason]);
  });

  it.each(badSources)('%s, after the headers', async (_what, source, reason) => {
    let goOn: () => void = () => undefined;
    const told = new Promise<void>((resolve) => (goOn = resolve));
    const life = await startHostile(startApp, () =>
      (async function* () {
        yield 'first';
        await told;
        const late = source();
        yield* late instanceof Observable ? toIterable(late) : (late as AsyncIterable<unknown>);
      })(),
    );
    const client = await life.get();
    await client.waitFor('first');
    goOn();
    const { status, body, complete } = await client.whole();
    expect({ status, complete }).toEqual({ status: 200, complete: true });
    expect(body).toBe('retry: 2000\ndata: first\n\nevent: error\ndata: Internal server error\n\n');
    await expectServing(life, [reason]);
  });

  const badTeardowns: [string, () => SseSource][] = [
    ['an Observable whose teardown throws', () => withTeardown(() => boom())],
    ['an iterator whose return() throws', () => iterator({ next: pending('first'), return: () => boom() })],
    ['an iterator whose return() rejects', () => iterator({ next: pending('first'), return: () => rejection(new NoString()) })],
    ['an iterator whose return() hangs', () => iterator({ next: pending('first'), return: () => new Promise(() => undefined) })],
    ['an iterator whose return() gives garbage', () => iterator({ next: pending('first'), return: () => 42 })],
    ['a source whose destroy() throws', () => Object.assign(iterator({ next: pending('first') }), { destroy: () => boom() })],
    ['a source whose cancel() rejects', () => Object.assign(iterator({ next: pending('first') }), { cancel: () => rejection(undefined) })],
    [
      'a source whose AbortController throws',
      () => Object.assign(iterator({ next: pending('first') }), { controller: { abort: () => boom(), signal: {} } }),
    ],
    [
      'a Readable that fails as it is destroyed',
      () => new Readable({ read: once('first'), destroy: (_error, done) => done(new Error('boom')) }),
    ],
    [
      'a ReadableStream whose cancel() throws',
      () => new ReadableStream({ start: (controller) => controller.enqueue('first'), cancel: () => boom() }),
    ],
    [
      'a generator that throws as it is stopped',
      async function* () {
        try {
          yield 'first';
          await new Promise((resolve) => setTimeout(resolve, 20));
          yield 'second';
        } finally {
          throw new Error('boom');
        }
      },
    ],
  ];
  it.each(badTeardowns)('%s', async (_what, source) => {
    const life = await startHostile(startApp, source);
    for (const leave of ['fin', 'reset'] as const) {
      const client = await life.get();
      await client.waitFor('first');
      await client[leave]();
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
    await expectServing(life, ['client-disconnect', 'client-disconnect']);
  });

  it('a serializer, an errorEvent and a key that throw', async () => {
    const life = await startHostile(
      startApp,
      (session) => {
        expect(() => session.send({ n: 1n })).toThrow(expect.objectContaining({ code: 'SERIALIZATION_FAILED' }));
        expect(session.state).toBe('connecting');
        return concat(of('first'), new Observable((subscriber) => void setTimeout(() => subscriber.next({ n: 2 }), 10)));
      },
      {
        route: { serializer: () => raise(new NoString()), errorEvent: () => raise(new NoString()) },
      },
    );
    const { body } = await (await life.get()).whole();
    expect(body).toBe('retry: 2000\ndata: first\n\nevent: error\ndata: Internal server error\n\n');
    await expectServing(life, ['error']);
  });

  it('calls on a session that has ended', async () => {
    const life = await startHostile(startApp, () => of('a'));
    await (await life.get()).whole();
    await eventually(() => expect(life.ends).toHaveLength(1));
    const [session] = life.sessions as [SseSession];
    expect([session.send('x'), session.comment('x'), session.send(undefined as never)]).toEqual(['closed', 'closed', 'closed']);
    session.complete();
    session.close();
    await expect(session.flushed()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    session.onCompletion(() => boom());
    session.onError(() => boom());
    expect(session.signal.aborted).toBe(true);
    await expectServing(life, ['complete']);
  });

  it('calls on a session from within its own hooks', async () => {
    const life = await startHostile(startApp, (session) => {
      const meddle = () => {
        session.send('x');
        session.complete();
        session.close();
        session.onOpen(meddleNot);
        session.onCompletion(meddleNot);
        void life.manager.cancel(session.id);
      };
      const meddleNot = () => session.send('y');
      session.onOpen(meddle);
      session.onCompletion(meddle);
      session.signal.addEventListener('abort', meddle);
      return new Observable(() => meddle);
    });
    const { complete } = await (await life.get()).whole();
    expect(complete).toBe(true);
    await expectServing(life, ['complete']);
  });

  it('a source that goes on after its end', async () => {
    const late: unknown[] = [];
    const life = await startHostile(
      startApp,
      (session) =>
        new Observable((subscriber) => {
          subscriber.next('first');
          setTimeout(() => {
            subscriber.complete();
            subscriber.next('late');
            subscriber.error(new Error('late'));
            late.push(session.send('late'));
          }, 5);
        }),
    );
    const { body } = await (await life.get()).whole();
    expect(body).toBe('retry: 2000\ndata: first\n\n');
    await expectServing(life, ['complete']);
    expect(late).toEqual(['closed']);
  });

  const POINTS = [
    'middleware',
    'guard',
    'pipe',
    'handler',
    'source',
    'serializer',
    'onOpen',
    'onCompletion',
    'abort',
    'errorEvent',
    'teardown',
  ] as const;
  type Point = (typeof POINTS)[number];
  it.each(POINTS)('a socket that is destroyed in the %s', async (point) => {
    const sockets: Socket[] = [];
    let armed = true;
    const at = (here: Point) => {
      if (armed && here === point) sockets.at(-1)?.destroy(here === 'source' ? new Error('with an error') : undefined);
    };
    const life = await startHostile(
      startApp,
      (session) => {
        at('handler');
        session.onOpen(() => at('onOpen'));
        session.onCompletion(() => at('onCompletion'));
        session.signal.addEventListener('abort', () => at('abort'));
        return new Observable((subscriber) => {
          at('source');
          subscriber.next({ text: 'first' });
          const timer = setTimeout(() => subscriber.error(new Error('late')), 20);
          return () => {
            clearTimeout(timer);
            at('teardown');
          };
        });
      },
      {
        route: {
          serializer: (data) => (at('serializer'), JSON.stringify(data)),
          errorEvent: () => (at('errorEvent'), { data: 'late' }),
        },
        app: { configure: (app) => instrument(app, sockets, at) },
      },
    );
    const client = await life.get();
    await settled(client);
    armed = false;
    await eventually(() => expect(life.manager.size).toBe(0));
    await turns(20);
    const reasons = life.ends.map(({ reason }) => reason);
    expect(['', 'client-disconnect', 'error']).toContain(reasons.join());
    await expectServing(life, reasons);
  });

  const RESPONSES: [string, (response: RawResponse) => void][] = [
    ['ended', (response) => response.end()],
    ['written to after its end', (response) => (response.end('x'), void response.write('late'))],
    ['destroyed', (response) => response.destroy()],
    ['destroyed with an error', (response) => response.destroy(new Error('by the application'))],
    ['destroyed while its socket is, too', (response) => (response.socket?.destroy(), response.destroy())],
  ];
  it.each(RESPONSES)('a response that the application has %s under an open stream', async (_what, meddle) => {
    const responses: RawResponse[] = [];
    const life = await startHostile(startApp, () => concat(of('first'), NEVER), {
      app: {
        configure: (app) =>
          void app.use((_request: unknown, response: RawResponse, next: () => void) => {
            responses.push(response);
            next();
          }),
      },
    });
    const client = await life.get();
    await client.waitFor('first');
    meddle(responses[0]!);
    life.sessions[0]?.send('x'.repeat(100_000));
    await eventually(() => expect(life.ends).toHaveLength(1));
    await expectServing(life, [life.ends[0]!.reason]);
  });
});

interface RawResponse {
  readonly socket: Socket | null;
  write(chunk: string): boolean;
  end(chunk?: string): void;
  destroy(error?: Error): void;
}

function raise(value: unknown): never {
  throw value;
}

function rejection(value: unknown): Promise<never> {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
  return Promise.reject(value);
}

function iterator(methods: object): AsyncIterable<unknown> {
  return { [Symbol.asyncIterator]: () => methods as AsyncIterator<unknown> };
}

/** A `next()` that gives one value, then is pending for ever. */
function pending(value: string): () => Promise<unknown> {
  let given = false;
  return () => {
    if (given) return new Promise(() => undefined);
    given = true;
    return Promise.resolve({ done: false, value });
  };
}

function once(value: string): (this: Readable) => void {
  let given = false;
  return function (this: Readable) {
    if (!given) this.push(value);
    given = true;
  };
}

function withTeardown(teardown: () => void): Observable<unknown> {
  return new Observable((subscriber) => {
    subscriber.next('first');
    return teardown;
  });
}

function destroyed(): Readable {
  const readable = new Readable({ read: () => undefined });
  readable.on('error', () => undefined);
  readable.destroy(new Error('boom'));
  return readable;
}

function locked(): ReadableStream {
  const stream = new ReadableStream();
  stream.getReader();
  return stream;
}

function circular(): object {
  const object: { self?: object } = {};
  object.self = object;
  return object;
}

/** The values of an Observable, for `yield*`. */
async function* toIterable(values: Observable<unknown>): AsyncGenerator<unknown> {
  const all: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    values.subscribe({ next: (value) => all.push(value), error: reject, complete: resolve });
  });
  yield* all;
}

function instrument(app: INestApplication, sockets: Socket[], at: (point: 'middleware' | 'guard' | 'pipe') => void): void {
  (app.getHttpServer() as Server).on('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
  });
  app.use((_request: unknown, _response: unknown, next: () => void) => {
    at('middleware');
    next();
  });
  app.useGlobalGuards({ canActivate: () => (at('guard'), true) });
  app.useGlobalPipes({ transform: (value: unknown) => (at('pipe'), value) });
}

/** Waits until a client has its answer or has lost its connection. */
function settled(client: RawClient): Promise<unknown> {
  return Promise.race([client.closed, client.whole().catch(() => undefined)]);
}
