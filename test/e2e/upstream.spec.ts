import { afterEach, expect, it } from '@jest/globals';
import { HttpException } from '@nestjs/common';
import OpenAI from 'openai';
import type { SseSession, SseSource } from 'nestjs-sse-session';
import { from } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { type LifeOptions, expectEnd, startLife, turns } from '../support/life.js';
import { type Upstream, type UpstreamOptions, startUpstream } from '../support/upstream.js';

const PROMPT = { model: 'test', messages: [{ role: 'user' as const, content: 'hello' }], stream: true as const };

/** That it closes at all, and by nobody else's timeout: how soon is measured by `npm run figures`, as machines that test are noisy. */
const GENEROUS_MS = 5_000;

const running: Upstream[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((upstream) => upstream.close()));
});

type Ask = (openai: OpenAI, session: SseSession) => SseSource | Promise<SseSource>;

/** Ways in which a handler may hand over a stream whose connection must close when its client leaves. */
const HANDLERS: [string, Ask][] = [
  ['returns the stream, and passes the signal on', (openai, { signal }) => openai.chat.completions.create(PROMPT, { signal })],
  ['returns the stream, and ignores the signal', (openai) => openai.chat.completions.create(PROMPT)],
  ['awaits the stream, and ignores the signal', async (openai) => await openai.chat.completions.create(PROMPT)],
  [
    'reads it in a generator, and passes the signal on',
    async function* (openai, { signal }) {
      for await (const chunk of await openai.chat.completions.create(PROMPT, { signal })) yield chunk.choices[0]?.delta.content;
    },
  ],
  [
    'makes a web stream of it, and passes the signal on, as its cancel() alone waits for the pending read',
    async (openai, { signal }) => (await openai.chat.completions.create(PROMPT, { signal })).toReadableStream() as ReadableStream,
  ],
  [
    'makes an Observable of it, and passes the signal on',
    async (openai, { signal }) => from(await openai.chat.completions.create(PROMPT, { signal })),
  ],
];

describeEachAdapter('The upstream of a session', ({ startApp }) => {
  const start = async (ask: Ask, upstreamOptions: UpstreamOptions = {}, options: LifeOptions = {}) => {
    const upstream = await startUpstream(upstreamOptions);
    running.push(upstream);
    const openai = new OpenAI({ apiKey: 'none', baseURL: upstream.baseURL, maxRetries: 0 });
    const life = await startLife(startApp, (session) => ask(openai, session), options);
    return { upstream, life };
  };

  it('reaches the client whole: every chunk is the data of an event, then the end', async () => {
    const { upstream, life } = await start((openai) => openai.chat.completions.create(PROMPT), { count: 3 });
    const { body, complete } = await (await life.get()).whole();
    expect(complete).toBe(true);
    const chunks = [...body.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json ?? '') as OpenAI.ChatCompletionChunk);
    expect(chunks.map(({ id, choices }) => `${id} ${choices[0]?.delta.content}`)).toEqual([0, 1, 2].map((n) => `chatcmpl-1 token-${n} `));
    await expectEnd(life, 'complete');
    await eventually(() => upstream.open === 0);
    expect(upstream.closedAt).toEqual([]);
  });

  it.each(HANDLERS)('closes when the client leaves, of a handler that %s', async (_what, ask) => {
    const { upstream, life } = await start(ask);
    const client = await life.get();
    await client.waitFor('token-2');
    const closed = upstream.nextClose();
    const leftAt = performance.now();
    await client.fin();
    expect((await closed) - leftAt).toBeLessThan(GENEROUS_MS);
    await expectEnd(life, 'client-disconnect');
    expect(upstream.open).toBe(0);
    expect(life.logged).toEqual([]);
  });

  it.each(HANDLERS)('closes while a next() is pending, of a handler that %s', async (_what, ask) => {
    const { upstream, life } = await start(ask, { everyMs: 0 });
    const client = await life.get();
    await client.waitFor('token-0');
    const closed = upstream.nextClose();
    const leftAt = performance.now();
    await client.reset();
    expect((await closed) - leftAt).toBeLessThan(GENEROUS_MS);
    await expectEnd(life, 'client-disconnect');
    expect(life.logged).toEqual([]);
  });

  it.each<[string, Ask, LifeOptions['route']]>([
    [
      'because its client left while the handler still awaited something else',
      async (openai, session) => {
        const stream = await openai.chat.completions.create(PROMPT);
        await new Promise((resolve) => session.signal.addEventListener('abort', resolve));
        return stream;
      },
      {},
    ],
    [
      'because the session was cancelled before it opened',
      async (openai, session) => {
        const stream = await openai.chat.completions.create(PROMPT);
        session.close();
        return stream;
      },
      {},
    ],
  ])('closes although its stream was never iterated, %s', async (_what, ask, route) => {
    const { upstream, life } = await start(ask, {}, { route: route ?? {} });
    const client = await life.get();
    await eventually(() => upstream.requests === 1);
    await turns(5);
    await client.fin();
    await eventually(() => expect(upstream.closedAt).toHaveLength(1));
    await eventually(() => expect(life.ends).toHaveLength(1));
    expect(upstream.open).toBe(0);
  });

  it.each<[string, (life: Awaited<ReturnType<typeof start>>['life']) => unknown]>([
    ['the session is cancelled', ({ manager, sessions }) => manager.cancel(sessions[0]!.id)],
    ['the session completes', ({ sessions }) => sessions[0]?.complete()],
    ['the application stops', ({ close }) => close()],
  ])('closes when %s', async (_what, end) => {
    const { upstream, life } = await start((openai) => openai.chat.completions.create(PROMPT));
    const client = await life.get();
    await client.waitFor('token-1');
    await end(life);
    await client.whole();
    await eventually(() => expect(upstream.closedAt).toHaveLength(1));
    expect(upstream.open).toBe(0);
  });

  it.each([401, 429])('keeps its status %i with openOn first-event', async (status) => {
    const { life } = await start(
      async function* (openai, { signal }) {
        yield* await openai.chat.completions.create(PROMPT, { signal }).catch(rethrow);
      },
      { status },
      { route: { openOn: 'first-event' } },
    );
    const response = await (await life.get()).whole();
    expect(response.status).toBe(status);
    expect(response.body).not.toContain('data:');
  });

  it('closes each time, whether the client leaves by FIN or RST', async () => {
    const { upstream, life } = await start((openai) => openai.chat.completions.create(PROMPT));
    const took: number[] = [];
    for (let run = 0; run < 50; run++) {
      const client = await life.get();
      await client.waitFor('token-0');
      const closed = upstream.nextClose();
      const leftAt = performance.now();
      await (run % 2 === 0 ? client.fin() : client.reset());
      took.push((await closed) - leftAt);
    }
    took.sort((a, b) => a - b);
    expect(took[Math.ceil(took.length * 0.99) - 1]).toBeLessThan(GENEROUS_MS);
    await eventually(() => expect(life.ends).toHaveLength(50));
    expect(upstream.open).toBe(0);
  });
});

function rethrow(error: unknown): never {
  throw new HttpException('The model refused', (error as { status: number }).status);
}
