import { fetchEventSource } from '@microsoft/fetch-event-source';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Controller, Req, RequestMethod } from '@nestjs/common';
import { EventSource } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import { createParser } from 'eventsource-parser';
import {
  CurrentSession,
  LastEventId,
  ManagedSse,
  SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
  sseEvent,
} from 'nestjs-sse-session';
import { CLOCK, FakeClock, RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { type AppDescription, describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { h2Request } from '../support/h2-client.js';
import { connect } from '../support/raw-client.js';

/** A message as a client has it. */
interface Message {
  readonly type: string;
  readonly data: string;
  /** Only where the event itself had one: the clients differ in whether the last id stays. */
  readonly id?: string;
}

interface Sent {
  readonly data: string | object;
  readonly type?: string;
  readonly id?: string | number;
  readonly comment?: string;
}

const COUNT = 200;
const TYPES = ['alpha', 'beta', 'größe 😀'];
const HUGE = 'Ein großes Ereignis 🚀 mit\nZeilen, '.repeat(2_500);
const HEARTBEAT_MS = 1_000;

/** What is sent; `undefined` is a comment alone, which no client may see. (A first line that is empty is lost by fetch-event-source.) */
function sentAt(n: number): Sent | undefined {
  if (n === 150) return { data: HUGE, id: 'huge' };
  switch (n % 12) {
    case 0:
      return { data: `plain ${n}` };
    case 1:
      return { data: `first of ${n}\nsecond\n\nfourth\n` };
    case 2:
      return { data: `日本語, Ünïcödé, 👩‍👩‍👧‍👦 and \u2028\u2029 in ${n}` };
    case 3:
      return { data: `one\rtwo\r\nthree\n\rfive of ${n}` };
    case 4:
      return { data: '' };
    case 5:
      return { data: `with an id ${n}`, id: n % 2 ? n : `id-${n} – 😀` };
    case 6:
      return { data: `typed ${n}`, type: TYPES[n % TYPES.length] as string };
    case 7:
      return { data: `commented ${n}`, comment: `a comment\nof two lines: ${n}` };
    case 8:
      return { data: { n, text: 'line\nbreak "quoted" 😀', nested: [null, true, { n }] } };
    case 9:
      return undefined;
    case 10:
      return { data: `  spaces, data: and : colons, \t and \\ in ${n} ` };
    default:
      return { data: `id: ${n}\nevent: forged\nretry: 1`, type: TYPES[0] as string, id: `both-${n}` };
  }
}

const sent = Array.from({ length: COUNT }, (_, n) => sentAt(n));

const expected: Message[] = sent
  .filter((event) => event !== undefined)
  .map(({ data, type, id }) => ({
    type: type ?? 'message',
    data: typeof data === 'string' ? data.replace(/\r\n|\r/g, '\n') : JSON.stringify(data),
    ...(id !== undefined && { id: String(id) }),
  }));

/** Leaves the ids away where none was sent. */
function withOwnIds(messages: readonly { type: string; data: string; id?: string | undefined }[]): Message[] {
  return messages.map(({ type, data, id }, n) => ({ type, data, ...(expected[n]?.id !== undefined && id !== undefined && { id }) }));
}

let clock = new FakeClock();
const visits: { at: number; lastEventId: string | undefined }[] = [];

interface FrameworkRequest {
  readonly raw?: FrameworkRequest;
  readonly socket: { destroy(): void };
}

@Controller()
class MixedController {
  @ManagedSse('mixed')
  mixed(@CurrentSession() session: SseSession): AsyncIterable<unknown> {
    return mixed(session);
  }

  @ManagedSse('mixed', { method: RequestMethod.POST })
  post(@CurrentSession() session: SseSession): AsyncIterable<unknown> {
    return mixed(session);
  }

  @ManagedSse('visits')
  async *visits(@LastEventId() lastEventId: string | undefined): AsyncGenerator<unknown> {
    visits.push({ at: performance.now(), lastEventId });
    yield { data: `visit ${visits.length}`, id: `visit-${visits.length}` };
  }

  @ManagedSse('cut')
  cut(@Req() request: FrameworkRequest, @LastEventId() lastEventId: string | undefined, @CurrentSession() session: SseSession): void {
    visits.push({ at: performance.now(), lastEventId });
    session.send({ data: `visit ${visits.length}`, id: `visit-${visits.length}` });
    // so that the client has it
    setTimeout(() => (request.raw ?? request).socket.destroy(), 20);
  }

  @ManagedSse('full', { limits: { maxConnections: 1 } })
  full(): void {}
}

async function* mixed(session: SseSession): AsyncGenerator<unknown> {
  for (const [n, event] of sent.entries()) {
    if (n % 40 === 20) {
      await session.flushed();
      clock.advance(HEARTBEAT_MS + 50);
    }
    if (event === undefined) session.comment(`invisible ${n}`);
    // an id on a typed or structured event goes the ways of sseEvent() and of plain objects alike
    else yield n % 2 ? sseEvent(event) : event;
  }
  yield { data: 'bye', type: 'end' };
}

/** What `@microsoft/fetch-event-source` wants of a browser. */
function withBrowserGlobals(): void {
  const listener = () => undefined;
  const globals = { document: { hidden: false, addEventListener: listener, removeEventListener: listener }, window: globalThis };
  beforeEach(() => void Object.assign(globalThis, globals));
  afterEach(() => {
    for (const name of Object.keys(globals)) delete (globalThis as Record<string, unknown>)[name];
  });
}

type Client = (url: string) => Promise<{ messages: Message[]; comments?: number }>;

const CLIENTS: Record<string, Client> = {
  'eventsource 4': (url) =>
    new Promise((resolve, reject) => {
      const messages: Message[] = [];
      const source = new EventSource(url);
      const take = ({ type, data, lastEventId }: MessageEvent) => messages.push({ type, data: data as string, id: lastEventId });
      for (const type of ['message', ...TYPES]) source.addEventListener(type, take);
      source.addEventListener('end', () => {
        source.close();
        resolve({ messages });
      });
      source.addEventListener('error', (event) => reject(new Error(`error ${event.code} ${event.message}`)));
    }),

  'eventsource-client': (url) =>
    new Promise((resolve) => {
      const messages: Message[] = [];
      let comments = 0;
      const client = createEventSource({
        url,
        onComment: () => comments++,
        onMessage: ({ event = 'message', data, id }) => {
          if (event !== 'end') return void messages.push({ type: event, data, ...(id !== undefined && { id }) });
          client.close();
          resolve({ messages, comments });
        },
      });
    }),

  '@microsoft/fetch-event-source': async (url) => {
    const messages: Message[] = [];
    await fetchEventSource(url, {
      method: 'POST',
      onmessage: ({ event, data, id }) => void messages.push({ type: event || 'message', data, id }),
      onerror: (error) => {
        throw error;
      },
    });
    expect(messages.pop()).toMatchObject({ type: 'end', data: 'bye' });
    return { messages };
  },

  'eventsource-parser over fetch': async (url) => {
    const messages: Message[] = [];
    let comments = 0;
    const parser = createParser({
      onEvent: ({ event = 'message', data, id }) => void messages.push({ type: event, data, ...(id !== undefined && { id }) }),
      onComment: () => comments++,
      onError: (error) => {
        throw error;
      },
    });
    const { body } = await fetch(url);
    const decoder = new TextDecoder();
    for await (const chunk of body as AsyncIterable<Uint8Array>) parser.feed(decoder.decode(chunk, { stream: true }));
    expect(messages.pop()).toEqual({ type: 'end', data: 'bye' });
    return { messages, comments };
  },

  'a raw HTTP/1.0 client': async (url) => {
    const client = await connect(Number(new URL(url).port));
    client.write('GET /mixed HTTP/1.0\r\n\r\n');
    const { headers, body } = await client.whole();
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(headers['connection']).toBe('close');
    return parse(body);
  },
};

function parse(body: string): { messages: Message[]; comments: number } {
  const messages: Message[] = [];
  let comments = 0;
  createParser({
    onEvent: ({ event = 'message', data, id }) => void messages.push({ type: event, data, ...(id !== undefined && { id }) }),
    onComment: () => comments++,
  }).feed(body);
  expect(messages.pop()).toEqual({ type: 'end', data: 'bye' });
  return { messages, comments };
}

describeEachAdapter('clients', ({ startApp, adapter }) => {
  withBrowserGlobals();

  const start = (options: SseSessionModuleOptions = {}, more: Partial<AppDescription> = {}) => {
    clock = new FakeClock();
    visits.length = 0;
    return startApp({
      imports: [SseSessionModule.forRoot({ heartbeat: { intervalMs: HEARTBEAT_MS }, ...options })],
      controllers: [MixedController],
      overrides: (builder) => builder.overrideProvider(CLOCK).useValue(clock).overrideProvider(RANDOM).useValue(fakeRandom(0)),
      ...more,
    });
  };

  const expectExact = ({ messages, comments }: { messages: Message[]; comments?: number }) => {
    expect(messages).toHaveLength(expected.length);
    expect(withOwnIds(messages)).toEqual(expected);
    // there were some, and they made no message; 5 of them are heartbeats
    if (comments !== undefined) expect(comments).toBeGreaterThanOrEqual(sent.filter((event) => event === undefined).length + 5);
  };

  it.each(Object.keys(CLIENTS))('%s gets every event exactly and in order, and nothing of heartbeats and comments', async (name) => {
    const { url } = await start();
    expectExact(await (CLIENTS[name] as Client)(`${url}/mixed`));
  });

  if (adapter === 'fastify') {
    it('an HTTP/2 client gets every event exactly and in order', async () => {
      const { url } = await start({}, { adapterOptions: { http2: true } as never });
      const request = h2Request(url, '/mixed');
      expect(await request.headers).toMatchObject({
        ':status': 200,
        'content-type': 'text/event-stream',
        'cache-control': 'no-cache, no-transform',
        'x-accel-buffering': 'no',
      });
      expectExact(parse(await request.whole));
    });
  }

  it('eventsource 4 comes back after the retry: it was told, with the last id', async () => {
    const { url } = await start({ retryMs: 150 });
    const source = new EventSource(`${url}/visits`);
    try {
      await eventually(() => expect(visits).toHaveLength(3));
    } finally {
      source.close();
    }
    expect(visits.map(({ lastEventId }) => lastEventId)).toEqual([undefined, 'visit-1', 'visit-2']);
    expectGap(150);
  });

  it('eventsource-client comes back after the retry: it was told, with the last id', async () => {
    const { url } = await start({ retryMs: 150 });
    const delays: number[] = [];
    const client = createEventSource({ url: `${url}/visits`, onScheduleReconnect: ({ delay }) => delays.push(delay) });
    try {
      await eventually(() => expect(visits).toHaveLength(2));
    } finally {
      client.close();
    }
    expect(delays[0]).toBe(150);
    expect(visits[1]?.lastEventId).toBe('visit-1');
  });

  it('@microsoft/fetch-event-source comes back after the retry: it was told, with the last id, when it was cut', async () => {
    const { url } = await start({ retryMs: 150 });
    const controller = new AbortController();
    const messages: unknown[] = [];
    const over = fetchEventSource(`${url}/cut`, { signal: controller.signal, onmessage: ({ data }) => void messages.push(data) });
    try {
      await eventually(() => expect(visits).toHaveLength(2));
      await eventually(() => expect(messages).toEqual(['visit 1', 'visit 2']));
    } finally {
      controller.abort();
      await over;
    }
    expect(visits[1]?.lastEventId).toBe('visit-1');
    expectGap(150);
  });

  it('an EventSource that was refused is told when to come back, and sees no message of it', async () => {
    const { url, port } = await start();
    const first = await connect(port);
    await first.request('GET', '/full').waitFor('retry');
    const messages: unknown[] = [];
    const delays: number[] = [];
    const client = createEventSource({
      url: `${url}/full`,
      onMessage: (message) => messages.push(message),
      onScheduleReconnect: ({ delay }) => delays.push(delay),
    });
    try {
      await eventually(() => expect(delays).toEqual([15_000]));
    } finally {
      client.close();
    }
    expect(messages).toEqual([]);
  });

  /** Between the first two visits; far from the clients' own defaults, which begin at a second. */
  function expectGap(retryMs: number): void {
    const gap = (visits[1]?.at ?? 0) - (visits[0]?.at ?? 0);
    expect(gap).toBeGreaterThanOrEqual(retryMs - 1);
    expect(gap).toBeLessThan(900);
  }
});
