import { type Block, blocksOf, committedIdOf } from './blocks.js';
import { connect } from './raw-client.js';

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface Journey {
  /** What it has, in order, across all its connections. */
  readonly blocks: readonly Block[];
  /** How often it was cut. */
  readonly cuts: number;
  /** How often it came without an id, the first time left out: it had been cut before its first block. */
  readonly blindReturns: number;
  /** How often it was told of a reset. */
  readonly resets: number;
  /** How the last connection was answered. */
  readonly lastStatus: number;
}

export interface Itinerary {
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly cuts: number;
  /** The most bytes of a response, its head included, that come through before a cut. */
  readonly cutWithin: number;
  readonly random: () => number;
}

/** Follows a stream to its end, as an `EventSource` whose connection is cut at random bytes; it comes back at once, with the id of the last whole block. */
export async function follow({ port, path, method = 'GET', headers = {}, body, cuts, cutWithin, random }: Itinerary): Promise<Journey> {
  const blocks: Block[] = [];
  let lastId: string | undefined;
  let cut = 0;
  let blindReturns = 0;
  for (let visit = 0; ; visit++) {
    // one in five before the first event is whole, or even the head
    const budget = cut < cuts ? Math.floor(random() * (random() < 0.2 ? 400 : cutWithin)) : Infinity;
    const client = await connect(port);
    const id = lastId === undefined ? {} : { 'Last-Event-ID': lastId };
    client.request(method, path, { Accept: 'text/event-stream', ...headers, ...id }, body);
    if (visit > 0 && lastId === undefined) blindReturns++;
    let isOver = false;
    await client.waitFor(({ received, response }) => received.length >= budget || (isOver = response?.complete === true), 20_000);
    if (client.received.length >= budget) {
      client.received = client.received.slice(0, budget);
      cut++;
      isOver = false;
      if (random() < 0.5) void client.fin();
      else void client.reset();
    }
    const { response } = client;
    if (response?.status === 200) {
      blocks.push(...blocksOf(response.body).filter(({ data }) => data !== undefined));
      lastId = committedIdOf(response.body) ?? lastId;
    }
    if (isOver && response && response.status !== 200) {
      return { blocks, cuts: cut, blindReturns, resets: blocks.filter(({ type }) => type === 'reset').length, lastStatus: response.status };
    }
    if (isOver) await client.fin();
  }
}
