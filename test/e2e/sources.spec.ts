import { Readable } from 'node:stream';
import { expect, it } from '@jest/globals';
import { Body, Controller, Get, type NestInterceptor, Param, RequestMethod, UseInterceptors } from '@nestjs/common';
import { CurrentSession, ManagedSse, SessionManager, SseSession, SseSessionModule, type SseSource, sseEvent } from 'nestjs-sse-session';
import { concat, defer, filter, from, interval, map, of, take, timer } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { dataOf, eventsOf, readAll } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

const TEXT = 'Grüße, 你好 — 👩‍🚀 costs 5 €.';

async function* generate(): AsyncGenerator<string> {
  yield 'one';
  await new Promise((resolve) => setImmediate(resolve));
  yield 'two';
  yield 'three';
}

function webStream<T>(chunks: T[]): ReadableStream<T> {
  return new ReadableStream<T>({
    pull: (controller) => {
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
  });
}

/** An async iterable with nothing but `[Symbol.asyncIterator]().next()`. */
const bareIterable: AsyncIterable<string> = {
  [Symbol.asyncIterator]: () => {
    const words = ['one', 'two', 'three'];
    return {
      next: async () => {
        const value = words.shift();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
    };
  },
};

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), 5));

/** Each emits `one`, `two` and `three`, and completes. */
const SOURCES: Record<string, (session: SseSession) => SseSource | Promise<SseSource>> = {
  'a cold Observable': () => of('one', 'two', 'three'),
  'an Observable that takes its time': () => concat(of('one'), timer(5).pipe(map(() => 'two')), of('three')),
  'an async generator': () => generate(),
  'a bare async iterable': () => bareIterable,
  'a Node Readable of objects': () => Readable.from(['one', 'two', 'three']),
  'a web ReadableStream': () => webStream(['one', 'two', 'three']),
  'a promise of an Observable': () => later(from(['one', 'two', 'three'])),
  'a promise of an async generator': () => later(generate()),
  'a promise of a Readable': () => later(Readable.from(['one', 'two', 'three'])),
  'a promise of a ReadableStream': () => later(webStream(['one', 'two', 'three'])),
  'nothing, and sends at once': (session) => {
    for (const word of ['one', 'two', 'three']) session.send(word);
    session.complete();
  },
  'nothing, and sends later': (session) => {
    const words = ['one', 'two', 'three'];
    const subscription = interval(2)
      .pipe(take(3))
      .subscribe({ next: (n) => session.send(words[n] ?? ''), complete: () => session.complete() });
    session.onCompletion(() => subscription.unsubscribe());
  },
  'a promise of nothing, and sends': async (session) => {
    await later(undefined);
    for (const word of ['one', 'two', 'three']) session.send(word);
    session.complete();
  },
};

const bytes = (): Uint8Array[] => [...Buffer.from(TEXT)].map((byte) => Uint8Array.of(byte));

const BYTE_SOURCES: Record<string, () => SseSource> = {
  'a Node Readable': () => Readable.from(bytes(), { objectMode: false }),
  'a web ReadableStream': () => webStream(bytes()),
  'an Observable': () => from(bytes()),
  'an async generator': async function* () {
    yield* bytes();
  },
};

const NO_SOURCES: Record<string, unknown> = {
  'a number': 42,
  'a string': 'text',
  'an object': { data: 1 },
  'an array': [1, 2],
  null: null,
  'a function': () => of(1),
  'a promise of a number': Promise.resolve(7),
};

let pulls = 0;
let returned = 0;
async function* endless(chunk: string): AsyncGenerator<string> {
  try {
    for (;;) {
      pulls++;
      yield chunk;
    }
  } finally {
    returned++;
  }
}

@Controller('sources')
class SourcesController {
  @ManagedSse('text/:kind')
  text(@Param('kind') kind: string, @CurrentSession() session: SseSession): SseSource | Promise<SseSource> {
    return SOURCES[kind]?.(session);
  }

  @ManagedSse('text/:kind', { method: RequestMethod.POST })
  post(@Param('kind') kind: string, @CurrentSession() session: SseSession, @Body() body: { ask: string }): SseSource | Promise<SseSource> {
    session.send(`asked ${body.ask}`);
    return SOURCES[kind]?.(session);
  }

  @ManagedSse('bytes/:kind')
  bytes(@Param('kind') kind: string): SseSource {
    return BYTE_SOURCES[kind]?.();
  }

  @ManagedSse('cut')
  cut(): SseSource {
    return of(Buffer.from('5 €').subarray(0, 4));
  }

  @ManagedSse('none/:kind')
  none(@Param('kind') kind: string): SseSource {
    return NO_SOURCES[kind] as SseSource;
  }

  @ManagedSse('events')
  events(): SseSource {
    return of<unknown[]>(
      { data: { nested: true }, type: 'tick', id: 7 },
      sseEvent({ data: 'two\nlines', id: 'eight' }),
      { id: 'row', comment: 'a column' },
      null,
      0,
      '',
    );
  }

  @ManagedSse('payloads', { emit: 'payload', serializer: (data) => `<${JSON.stringify(data)}>` })
  payloads(): SseSource {
    return of<unknown[]>({ data: [1] }, 'as it is', sseEvent({ data: [2] }));
  }

  @ManagedSse('endless/:size')
  endless(@Param('size') size: string): SseSource {
    return endless('x'.repeat(Number(size)));
  }

  @ManagedSse('endless-and-silent')
  @UseInterceptors({ intercept: (_context, next) => next.handle().pipe(filter(() => false)) } satisfies NestInterceptor)
  endlessAndSilent(): SseSource {
    return endless('x');
  }

  @ManagedSse('posted', { method: RequestMethod.POST })
  posted(@Body() { count }: { count: number }, @CurrentSession() session: SseSession): SseSource {
    return concat(
      of(`first of ${count}`),
      defer(() => timer(30)).pipe(map(() => `then, with the signal ${session.signal.aborted ? 'aborted' : 'quiet'}`)),
    );
  }

  @Get('ping')
  ping(): string {
    return 'pong';
  }
}

describeEachAdapter('sources', ({ startApp }) => {
  const start = () => startApp({ imports: [SseSessionModule.forRoot()], controllers: [SourcesController] });

  it.each(Object.keys(SOURCES))('streams what comes of a handler that returns %s', async (kind) => {
    const { url, app } = await start();
    expect(await readAll(`${url}/sources/text/${encodeURIComponent(kind)}`)).toEqual({ status: 200, data: ['one', 'two', 'three'] });
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.complete).toBe(1));
  });

  it.each(Object.keys(SOURCES))('streams over POST what comes of a handler that returns %s', async (kind) => {
    const { url, app } = await start();
    const body = JSON.stringify({ ask: 'why' });
    const init = { method: 'POST', body, headers: { 'Content-Type': 'application/json', Accept: 'application/json' } };
    const read = await readAll(`${url}/sources/text/${encodeURIComponent(kind)}`, init);
    expect(read).toEqual({ status: 200, data: ['asked why', 'one', 'two', 'three'] });
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.complete).toBe(1));
  });

  it('does not take the end of a POST body for the end of the client', async () => {
    const { port } = await start();
    const client = await connect(port);
    client.request('POST', '/sources/posted', { 'Content-Type': 'application/json' }, JSON.stringify({ count: 2 }));
    expect(dataOf((await client.whole()).body)).toEqual(['first of 2', 'then, with the signal quiet']);
  });

  it.each(Object.keys(BYTE_SOURCES))('decodes the bytes of %s as one UTF-8 stream, wherever they are cut', async (kind) => {
    const { url } = await start();
    const { data } = await readAll(`${url}/sources/bytes/${encodeURIComponent(kind)}`);
    expect(data.join('')).toBe(TEXT);
    expect(data).toContain('€');
  });

  it('shows with a replacement character that a stream of bytes was cut inside one', async () => {
    const { url } = await start();
    expect((await readAll(`${url}/sources/cut`)).data).toEqual(['5 ', '\uFFFD']);
  });

  it.each(Object.keys(NO_SOURCES))('answers 500 when a handler returns %s', async (kind) => {
    const { url, app } = await start();
    app.useLogger(false);
    const codes: unknown[] = [];
    app.get(SessionManager).events$.subscribe(({ error }) => error && codes.push((error as { code?: unknown }).code));
    const response = await fetch(`${url}/sources/none/${encodeURIComponent(kind)}`);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ statusCode: 500 });
    expect(codes).toEqual(['INVALID_SOURCE']);
  });

  it('reads events, rows and values each as what they are', async () => {
    const { url } = await start();
    expect(eventsOf(await (await fetch(`${url}/sources/events`)).text())).toEqual([
      { event: 'tick', id: '7', data: '{"nested":true}' },
      { id: 'eight', data: 'two\nlines' },
      { data: '{"id":"row","comment":"a column"}' },
      { data: 'null' },
      { data: '0' },
      { data: '' },
    ]);
  });

  it('reads everything but a string and an SseEvent as a payload with emit: payload', async () => {
    const { url } = await start();
    expect((await readAll(`${url}/sources/payloads`)).data).toEqual(['<{"data":[1]}>', 'as it is', '[2]']);
  });

  it('pulls an async generator only at the pace of a client that does not read, and goes on when it does', async () => {
    const { port, app } = await start();
    pulls = returned = 0;
    const client = await connect(port);
    client.request('GET', '/sources/endless/65536');
    await client.waitFor('xxx');
    client.pause();
    const stuckAt = await eventually(async () => {
      const before = pulls;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return pulls === before && pulls;
    });
    const [session] = app.get(SessionManager);
    // what the kernel takes on both sides is a few megabytes; ours is one write and one event
    expect(stuckAt).toBeLessThan(300);
    expect(session?.pendingBytes).toBeLessThan(4 * 65_536);
    expect(session?.eventsDropped).toBe(0);

    client.resume();
    await eventually(() => expect(pulls).toBeGreaterThan(stuckAt + 50));
    await client.fin();
    await eventually(() => expect(returned).toBe(1));
  });

  it.each([1, 100_000])('leaves the event loop to others while a generator never waits (events of %d bytes)', async (size) => {
    const { url, port } = await start();
    pulls = returned = 0;
    const client = await connect(port);
    client.request('GET', `/sources/endless/${size}`);
    await client.waitFor('x');
    for (let i = 0; i < 10; i++) {
      expect(await (await fetch(`${url}/sources/ping`)).text()).toBe('pong');
      const before = client.bytesReceived;
      await eventually(() => expect(client.bytesReceived).toBeGreaterThan(before));
      // a test that keeps everything grows slow
      client.received = '';
    }
    await client.fin();
    await eventually(() => expect(returned).toBe(1));
  });

  it('leaves the event loop to others while an interceptor lets nothing through of a generator that never waits', async () => {
    const { url, port } = await start();
    pulls = returned = 0;
    const client = await connect(port);
    client.request('GET', '/sources/endless-and-silent');
    await client.waitFor('retry: ');
    expect(await (await fetch(`${url}/sources/ping`)).text()).toBe('pong');
    const before = pulls;
    await eventually(() => expect(pulls).toBeGreaterThan(before));
    await client.fin();
    await eventually(() => expect(returned).toBe(1));
  });
});
