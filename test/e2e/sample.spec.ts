import { fetchEventSource } from '@microsoft/fetch-event-source';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createEventSource } from 'eventsource-client';
import { AnswerLog } from '../../sample/chat/answer-log.js';
import { createSample, type Sample } from '../../sample/create-sample.js';
import { ALICE } from '../../sample/upstream/alice.js';
import { eventually } from '../support/eventually.js';

/** Asks for the last paragraph alone. */
const PROMPT = 'Latitude or Longitude?';
const ANSWER = ALICE.at(-1) as string;
/** Asks for all of it, which takes eight seconds. */
const LONG_PROMPT = 'Tell me of Alice';
const WHOLE = ALICE.join('\n\n');
/** Longer than any client here waits before it comes back. */
const QUIET_MS = 3_500;

let sample: Sample;
let headers: Record<string, string>;

beforeAll(async () => {
  sample = await createSample({ port: 0, upstream: { tokensPerSecond: 100 } });
  const [cookie] = (await fetch(sample.url)).headers.getSetCookie();
  headers = { Cookie: cookie?.split(';')[0] ?? '' };
});

afterAll(() => sample.app.close());

const post = (path: string, body?: object) =>
  fetch(`${sample.url}/api/${path}`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });

const upstream = () => sample.upstream.status().connections ?? { open: NaN, completed: NaN, closedByClient: NaN };

function calls(): number {
  const { open, completed, closedByClient } = upstream();
  return open + completed + closedByClient;
}

let answers = 0;

function chatUrl(prompt = PROMPT): { key: string; url: string } {
  const key = `answer-${++answers}`;
  return { key, url: `${sample.url}/api/chat/stream?${new URLSearchParams({ prompt, answer: key }).toString()}` };
}

/** What a client has seen of a stream. */
interface Seen {
  text: string;
  ends: string[];
  statuses: number[];
  notifications: string[];
  lastEventId: string;
}

interface Client {
  readonly seen: Seen;
  close(): void;
}

const nothing = (): Seen => ({ text: '', ends: [], statuses: [], notifications: [], lastEventId: '' });

function take(seen: Seen, type: string, data: string, id: string | undefined): void {
  if (id) seen.lastEventId = id;
  if (type === 'message') seen.text += data;
  else if (type === 'end') seen.ends.push(data);
  else if (type === 'notification') seen.notifications.push((JSON.parse(data) as { text: string }).text);
  else throw new Error(`Unexpected ${type}: ${data}`);
}

class GivenUp extends Error {}

const CLIENTS: Record<string, (url: string, lastEventId?: string) => Client> = {
  '@microsoft/fetch-event-source': (url, lastEventId) => {
    const seen = nothing();
    const controller = new AbortController();
    void fetchEventSource(url, {
      headers: { ...headers, ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
      signal: controller.signal,
      openWhenHidden: true,
      onopen: ({ status }) => {
        seen.statuses.push(status);
        // it takes a 204 for a failure, and would come back for ever
        return status === 200 ? Promise.resolve() : Promise.reject(new GivenUp(String(status)));
      },
      onmessage: ({ event, data, id }) => take(seen, event || 'message', data, id),
      onerror: (error) => {
        if (error instanceof GivenUp) throw error;
      },
    }).catch((error: unknown) => {
      if (!(error instanceof GivenUp)) throw error;
    });
    return { seen, close: () => controller.abort() };
  },

  'eventsource-client': (url, lastEventId) => {
    const seen = nothing();
    const client = createEventSource({
      url,
      headers,
      ...(lastEventId !== undefined && { initialLastEventId: lastEventId }),
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        seen.statuses.push(response.status);
        return response;
      },
      onMessage: ({ event = 'message', data, id }) => take(seen, event, data, id),
    });
    return { seen, close: () => client.close() };
  },
};

// What fetch-event-source wants of a browser.
const listener = () => undefined;
const globals = { document: { hidden: false, addEventListener: listener, removeEventListener: listener }, window: globalThis };
beforeAll(() => void Object.assign(globalThis, globals));
afterAll(() => {
  for (const name of Object.keys(globals)) delete (globalThis as Record<string, unknown>)[name];
});

describe.each(Object.entries(CLIENTS))('%s', (_name, connect) => {
  let before: number;
  const clients: Client[] = [];

  function start(url: string, lastEventId?: string): Seen {
    const client = connect(url, lastEventId);
    clients.push(client);
    return client.seen;
  }

  beforeEach(() => {
    before = calls();
  });

  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  it('that is cut midway twice comes back and has the whole answer, nothing of it twice, for one call upstream', async () => {
    const seen = start(chatUrl(LONG_PROMPT).url);
    for (const length of [20, 100]) {
      await eventually(() => expect(seen.text.length).toBeGreaterThan(length));
      const { length: connections } = seen.statuses;
      expect(await (await post('trouble/drop')).json()).toEqual({ dropped: 1 });
      await eventually(() => expect(seen.statuses.length).toBeGreaterThan(connections), 10_000);
      expect(upstream().open).toBe(1);
    }
    await eventually(() => expect(seen.ends).toEqual(['{"reason":"complete"}']), 15_000);
    // fetch-event-source loses a first line of data that is empty, so the breaks before paragraphs
    expect(seen.text.replaceAll('\n', '')).toBe(WHOLE.replaceAll('\n', ''));
    expect(seen.statuses.slice(0, 3)).toEqual([200, 200, 200]);
    expect(calls()).toBe(before + 1);
  });

  it('that is cut comes back to an answer that has ended meanwhile, and has it whole', async () => {
    const seen = start(chatUrl().url);
    await eventually(() => expect(seen.text.length).toBeGreaterThan(20));
    await post('trouble/drop');
    await eventually(() => expect(upstream().open).toBe(0));
    expect(seen.statuses).toEqual([200]);
    await eventually(() => expect(seen.ends).toEqual(['{"reason":"complete"}']));
    expect(seen.text).toBe(ANSWER);
    expect(calls()).toBe(before + 1);
  });

  it('shares an answer with another one, which may leave', async () => {
    const { url } = chatUrl();
    const [one, two] = [start(url), start(url)];
    await eventually(() => expect(two.text.length).toBeGreaterThan(20));
    clients[1]?.close();
    await eventually(() => expect(one.ends).toHaveLength(1), 10_000);
    expect(one.text).toBe(ANSWER);
    expect(ANSWER.startsWith(two.text)).toBe(true);
    expect(calls()).toBe(before + 1);
  });

  it('is told of a stop, which ends the call upstream within a second', async () => {
    const { key, url } = chatUrl(LONG_PROMPT);
    const clientsSeen = [start(url), start(url)];
    for (const seen of clientsSeen) await eventually(() => expect(seen.text.length).toBeGreaterThan(20));
    const stopped = await fetch(`${sample.url}/api/chat/${key}`, { method: 'DELETE', headers });
    expect(await stopped.json()).toEqual({ stopped: 1 });
    await eventually(() => expect(upstream().open).toBe(0), 1_000);
    for (const seen of clientsSeen) await eventually(() => expect(seen.ends).toEqual(['{"reason":"cancelled"}']));
    expect(calls()).toBe(before + 1);
  });

  it('is quiet after the end, and its 204 does not run the handler', async () => {
    const { url } = chatUrl();
    const seen = start(url);
    await eventually(() => expect(seen.ends).toHaveLength(1), 10_000);
    const late = start(url, seen.lastEventId);
    await eventually(() => expect(late.statuses).toEqual([204]));
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    // one of the clients asks once more by itself
    expect([[200], [200, 204]]).toContainEqual(seen.statuses);
    expect(late).toMatchObject({ statuses: [204], text: '', ends: [] });
    expect(calls()).toBe(before + 1);
  });

  it('that comes by the key alone to an answer that has ended is told so, and nothing is asked upstream', async () => {
    const { url } = chatUrl();
    const seen = start(url);
    await eventually(() => expect(seen.ends).toHaveLength(1), 10_000);
    expect((await fetch(url, { headers })).status).toBe(410);
    expect(calls()).toBe(before + 1);
  });

  it('gets the notifications that it missed, of both topics and in order', async () => {
    const notify = async (topic: string, text: string) =>
      ((await (await post('notifications', { topic, text })).json()) as { id: string }).id;
    const position = await notify('news', 'before');
    const seen = start(`${sample.url}/api/notifications?topics=news,orders`, position);
    await notify('news', 'one');
    await eventually(() => expect(seen.notifications).toEqual(['one']));
    await post('trouble/drop');
    for (const [topic, text] of [
      ['orders', 'two'],
      ['news', 'three'],
    ] as const) {
      await notify(topic, text);
    }
    await eventually(() => expect(seen.notifications).toEqual(['one', 'two', 'three']), 10_000);
    await notify('orders', 'four');
    await eventually(() => expect(seen.notifications).toEqual(['one', 'two', 'three', 'four']));
  });
});

describe('The answers of the sample', () => {
  const answer = async (url: string, as = headers) => (await fetch(url, { headers: as })).text();

  it('count a token once, however many watch', async () => {
    const log = sample.app.get(AnswerLog);
    const tokensOf = async (work: () => Promise<unknown>): Promise<number> => {
      const before = log.totals();
      await work();
      await eventually(() => expect(log.totals().answers).toBe(before.answers + 1));
      return log.totals().tokens - before.tokens;
    };
    const alone = await tokensOf(() => answer(chatUrl().url));
    const { url } = chatUrl();
    expect(await tokensOf(() => Promise.all([answer(url), answer(url), answer(url)]))).toBe(alone);
    expect(alone).toBeGreaterThan(10);
  });

  it('are nobody else’s, also for who has found an id of one in a log of URLs', async () => {
    const { url } = chatUrl();
    const text = await answer(url);
    const [id = ''] = /(?<=^id: ).+:2$/m.exec(text) ?? [];
    const found = `${url}&lastEventId=${encodeURIComponent(id)}`;
    const before = calls();
    const own = await answer(found);
    expect(own).toMatch(/^data: .+:3$/ms);
    expect(own).not.toContain('reset');
    expect(text.endsWith(own.slice(own.indexOf('data:')))).toBe(true);
    expect(calls()).toBe(before);
    // a stranger gets an answer of his own, as he would for any id
    const [cookie = ''] = (await fetch(sample.url)).headers.getSetCookie();
    const stranger = await answer(found, { Cookie: cookie.split(';')[0] ?? '' });
    expect(stranger).toContain('data: {"reason":"unknown"}');
    expect(stranger).not.toContain(id.split(':')[0]);
    expect(calls()).toBe(before + 1);
  });
});

describe('The notifications of the sample', () => {
  it.each([
    ['an unknown topic', { topic: 'weather', text: 'x' }],
    ['no text', { topic: 'news', text: ' ' }],
  ])('refuse %s', async (_what, body) => {
    expect((await post('notifications', body)).status).toBe(400);
  });

  it('refuse to stream an unknown topic', async () => {
    expect((await fetch(`${sample.url}/api/notifications?topics=news,weather`, { headers })).status).toBe(400);
  });
});
