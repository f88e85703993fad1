import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { EventStreamContentType, fetchEventSource } from '@microsoft/fetch-event-source';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Controller, RequestMethod } from '@nestjs/common';
import { EventSource } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import { ManagedSse, type ManagedSseOptions, SessionManager, SseSessionModule } from 'nestjs-sse-session';
import { RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';

const RETRY_MS = 40;
const EVENTS = 60;
/** After every so many events all connections are cut. */
const CUT_EVERY = 12;
const CUTS = EVENTS / CUT_EVERY;
const EXPECTED = Array.from({ length: EVENTS }, (_, n) => `token ${n}`);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let handlerCalls = 0;
let cut: () => void = () => undefined;

async function* answer(): AsyncGenerator<string> {
  handlerCalls++;
  for (let n = 0; n < EVENTS; n++) {
    yield `token ${n}`;
    await pause(1);
    if ((n + 1) % CUT_EVERY !== 0) continue;
    // in the midst of it the client need not have had the last ones; at the end it has, and is to be told that it is over
    if (n === EVENTS - 1) await pause(2 * RETRY_MS);
    cut();
    // after some of the cuts it waits for its client; the last finds it over when it comes back
    if (n % 24 === 11 && n < EVENTS - 1) await pause(2 * RETRY_MS);
  }
}

const ROUTE: ManagedSseOptions = { resume: {}, retryMs: RETRY_MS, heartbeat: false, principal: () => 'ann', key: () => 'answer' };

@Controller()
class AnswerController {
  @ManagedSse('answer', ROUTE)
  get(): AsyncIterable<string> {
    return answer();
  }

  @ManagedSse('answer', { ...ROUTE, method: RequestMethod.POST })
  post(): AsyncIterable<string> {
    return answer();
  }
}

class Finished extends Error {}

/** Each follows an answer to its end, and gives what it got once it has stopped to ask. */
const CLIENTS: Record<string, (url: string) => Promise<string[]>> = {
  'eventsource 4': async (url) => {
    const messages: string[] = [];
    const source = new EventSource(url);
    source.addEventListener('message', ({ data }) => messages.push(data as string));
    await eventually(() => source.readyState === source.CLOSED, 10_000);
    return messages;
  },

  'eventsource-client': async (url) => {
    const messages: string[] = [];
    const client = createEventSource({ url, onMessage: ({ data }) => messages.push(data) });
    await eventually(() => client.readyState === 'closed', 10_000);
    return messages;
  },

  '@microsoft/fetch-event-source': async (url) => {
    const messages: string[] = [];
    const follow = fetchEventSource(url, {
      method: 'POST',
      openWhenHidden: true,
      // it would come back after a 204 as after any other failure
      onopen: async ({ status, headers }) => {
        if (status === 204) throw new Finished();
        if (headers.get('content-type') !== EventStreamContentType) throw new Error(`answered with ${status}`);
      },
      onmessage: ({ data }) => void messages.push(data),
      onerror: (error) => {
        if (error instanceof Finished) throw error;
      },
    });
    await expect(follow).rejects.toBeInstanceOf(Finished);
    return messages;
  },
};

describeEachAdapter('clients of a resumable answer', ({ startApp }) => {
  // what @microsoft/fetch-event-source wants of a browser
  const listener = () => undefined;
  const globals = { document: { hidden: false, addEventListener: listener, removeEventListener: listener }, window: globalThis };
  beforeEach(() => void Object.assign(globalThis, globals));
  afterEach(() => {
    for (const name of Object.keys(globals)) delete (globalThis as Record<string, unknown>)[name];
  });

  it.each(Object.keys(CLIENTS))(
    `%s gets it whole, in order and once, though it is cut ${CUTS} times, and is quiet after its end`,
    async (name) => {
      handlerCalls = 0;
      const ids: (string | undefined)[] = [];
      const sockets = new Set<Socket>();
      const { app, url } = await startApp({
        imports: [SseSessionModule.forRoot({})],
        controllers: [AnswerController],
        overrides: (builder) => builder.overrideProvider(RANDOM).useValue(fakeRandom(0)),
      });
      const server = app.getHttpServer() as Server;
      server.on('request', ({ headers, socket }: IncomingMessage) => {
        ids.push(headers['last-event-id'] as string | undefined);
        sockets.add(socket);
      });
      let cuts = 0;
      cut = () => {
        cuts++;
        for (const socket of sockets) socket.destroy();
        sockets.clear();
      };
      const messages = await (CLIENTS[name] as (url: string) => Promise<string[]>)(`${url}/answer`);
      expect(messages).toEqual(EXPECTED);
      expect(cuts).toBe(CUTS);
      expect(handlerCalls).toBe(1);
      // one that was cut twice before it came back has asked less often
      const asked = ids.length;
      expect(asked).toBeGreaterThanOrEqual(3);
      expect(asked).toBeLessThanOrEqual(CUTS + 2);
      expect(ids[0]).toBeUndefined();
      expect(ids.at(-1)).toMatch(new RegExp(`^[\\w-]{22}:${EVENTS}$`));
      await pause(10 * RETRY_MS);
      expect(ids).toHaveLength(asked);
      expect(app.get(SessionManager).stats()).toMatchObject({ opened: 1, connections: 0, endedByReason: { complete: 1 } });
    },
  );

  it('@microsoft/fetch-event-source without an onopen of its own asks again and again after the end', async () => {
    const ids: unknown[] = [];
    const sockets = new Set<Socket>();
    const { app, url } = await startApp({
      imports: [SseSessionModule.forRoot({})],
      controllers: [AnswerController],
      overrides: (builder) => builder.overrideProvider(RANDOM).useValue(fakeRandom(0)),
    });
    (app.getHttpServer() as Server).on('request', ({ headers, socket }: IncomingMessage) => {
      ids.push(headers['last-event-id']);
      sockets.add(socket);
    });
    cut = () => sockets.forEach((socket) => socket.destroy());
    const controller = new AbortController();
    const messages: string[] = [];
    const over = fetchEventSource(`${url}/answer`, {
      openWhenHidden: true,
      signal: controller.signal,
      onmessage: ({ data }) => void messages.push(data),
      // its own way is to come back after a second
      onerror: () => RETRY_MS,
    });
    try {
      await eventually(() => expect(ids.filter((id) => String(id).endsWith(`:${EVENTS}`)).length).toBeGreaterThan(3), 10_000);
      expect(messages).toEqual(EXPECTED);
    } finally {
      controller.abort();
      await over;
    }
  });
});
