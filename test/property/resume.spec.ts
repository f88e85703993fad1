import { expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { heldBytes } from '../../lib/connection/held-bytes.js';
import { loggedBytes } from '../../lib/log/logged-bytes.js';
import type { CloseReason } from '../../lib/options/close-reasons.js';
import type { SessionLog } from '../../lib/resume/session-log.js';
import { Cleanup } from '../../lib/session/cleanup.js';
import type { ManagedSession } from '../../lib/session/managed-session.js';
import { MemoryResponse } from '../../lib/testing/memory-response.js';
import { type Block, blocksOf, committedIdOf, eagerIdOf } from '../support/blocks.js';
import { type Arrival, MemoryApp, type SessionDescription, turns } from '../support/memory-session.js';

/*
 * Clients that come and go, and a history of each: all that it has, in order. It is held against a model that knows what was sent and how sessions
 * have ended, and nothing of logs: what a client has is in order, once, without a gap; or there is one reset, with a reason.
 */

// more runs take longer
jest.setTimeout(600_000);

const GRACE_MS = 10_000;
const REMEMBERED_MS = 10 * 60_000;
/** A timer is at most so late. */
const LATE_MS = 100;

type Step =
  | { emit: number; session: number }
  | { burst: number; session: number }
  | { end: CloseReason | 'reconnect'; session: number }
  | { come: Way; client: number; back: number }
  | { leave: number; client: number }
  | { pause: number }
  | { resume: number }
  | { advance: number }
  | 'turn'
  | 'cleanup'
  | 'restart';

/** With what a client comes: its last id, an older one, none, or one that it made up. */
type Way = 'id' | 'stale' | 'none' | 'future' | 'forged' | 'malformed';

const STOPS: readonly CloseReason[] = ['complete', 'cancelled', 'evicted', 'error', 'timeout', 'idle-timeout'];
const CLIENTS = 4;

const client = fc.nat(CLIENTS - 1);
const session = fc.nat(3);
const size = fc.oneof({ weight: 6, arbitrary: fc.nat(300) }, fc.nat(5_000), fc.integer({ min: 60_000, max: 200_000 }));
const way = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Way>('id') },
  { weight: 4, arbitrary: fc.constantFrom<Way>('none', 'stale') },
  { weight: 1, arbitrary: fc.constantFrom<Way>('future', 'forged', 'malformed') },
);
const ends = fc.constantFrom<CloseReason | 'reconnect'>(
  'complete',
  'complete',
  'cancelled',
  'error',
  'evicted',
  'timeout',
  'idle-timeout',
  'shutdown',
  'unauthorized',
  'reconnect',
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ emit: size, session }) },
  { weight: 2, arbitrary: fc.record({ burst: fc.integer({ min: 2, max: 40 }), session }) },
  { weight: 8, arbitrary: fc.record({ come: way, client, back: fc.nat(5) }) },
  { weight: 6, arbitrary: fc.record({ leave: fc.double({ min: 0, max: 1, noNaN: true }), client }) },
  { weight: 2, arbitrary: fc.record({ pause: client }) },
  { weight: 2, arbitrary: fc.record({ resume: client }) },
  { weight: 4, arbitrary: fc.record({ advance: fc.oneof({ weight: 6, arbitrary: fc.nat(4_000) }, fc.nat(15_000), fc.constant(660_000)) }) },
  { weight: 6, arbitrary: fc.constant<Step>('turn') },
  { weight: 1, arbitrary: fc.record({ end: ends, session }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>('cleanup', 'cleanup', 'restart') },
);

const description = fc.record({
  steps: fc.array(step, { maxLength: 80, size: 'max' }),
  keyed: fc.boolean(),
  endEvent: fc.boolean(),
  maxEvents: fc.constantFrom(3, 20, 20_000),
  maxBytes: fc.constantFrom(2_000, 150_000, 8_388_608),
  maxTotalBytes: fc.constantFrom(20_000, 268_435_456),
  bufferBytes: fc.constantFrom(3_000, 1_048_576),
  highWaterMark: fc.constantFrom(1, 16_384),
  /** Which clients take an id at its line. */
  eager: fc.array(fc.boolean(), { minLength: CLIENTS, maxLength: CLIENTS }),
});

/** What the model knows of a session: what was sent, and how it ended. */
interface Model {
  readonly index: number;
  readonly app: MemoryApp;
  readonly session: ManagedSession;
  /** Of which it takes the token, to read ids by, and in the end what has been trimmed. */
  readonly log: SessionLog;
  /** What each event has as its data, from position 1 on. */
  readonly data: string[];
  endedAt: number | undefined;
  detachedAt: number | undefined;
  reconnects: boolean;
}

/** What a client is to get of its connection. */
interface Expectation {
  readonly of: Model;
  readonly after: number;
  readonly reset: string | undefined;
}

type Item = { readonly of: Model; readonly position: number } | { readonly reset: string; readonly of: Model; readonly position: number };

class Client {
  lastId: string | undefined;
  response: MemoryResponse | undefined;
  expectation: Expectation | undefined;
  /** Since it last came as what it is not: without its id, or with another. */
  history: Item[] = [];
  stale: string[] = [];

  constructor(readonly isEager: boolean) {}

  /** Whether its connection still stands. */
  get isConnected(): boolean {
    const { response } = this;
    return response !== undefined && !response.isGone && !(response.isEnded && response.writableLength === 0);
  }

  /** Its connection is over, and it has got so much of it. */
  takeIn(upTo: number): void {
    const { response, expectation } = this;
    this.response = undefined;
    if (!response || !expectation) return;
    const bytes = Buffer.from(response.received);
    const isWhole = upTo === 1;
    let text = bytes.subarray(0, isWhole ? bytes.byteLength : Math.floor(bytes.byteLength * upTo)).toString();
    // no server can do anything for such a client that is cut right between the id and the blank line of its block
    if (this.isEager && /\nid: [^\n]+\n$/.test(text)) text = text.slice(0, -1);
    const position = this.#read(blocksOf(text), expectation);
    if (isWhole && response.isEnded && response.writableLength === 0 && !response.isDestroyed)
      expect(position).toBe(expectation.of.log.tail);
    const id = this.isEager ? eagerIdOf(text) : committedIdOf(text);
    if (id === undefined) return;
    if (this.lastId !== undefined) this.stale.push(this.lastId);
    this.lastId = id;
  }

  /** Holds what came against what was sent. */
  #read(blocks: Block[], { of, after, reset }: Expectation): number {
    let position = after;
    let expectedReset = reset;
    for (const { type, data, id } of blocks) {
      if (data === undefined) {
        expect(id).toBe(idOf(of, position));
        continue;
      }
      if (type === 'reset') {
        const { reason } = JSON.parse(data) as { reason: string };
        expect(reason).toBe(expectedReset ?? 'trimmed');
        const to = positionOf(of, id);
        // never without a cause: what it stands for is not to be had, and was more than the log keeps
        if (reason === 'trimmed') {
          expect(to).toBeGreaterThan(position);
          expect(exceeds(of, position)).toBe(true);
        }
        expect(to === position || to <= of.log.events.trimmedUpTo()).toBe(true);
        this.history.push({ reset: reason, of, position: to });
        position = to;
      } else {
        // never a silent gap
        expect(expectedReset).toBeUndefined();
        position++;
        expect(id).toBe(idOf(of, position));
        expect(data === of.data[position - 1]).toBe(true);
        this.history.push({ of, position });
      }
      expectedReset = undefined;
    }
    return position;
  }

  /** The whole of it, across all connections. */
  check(): void {
    this.history.forEach((item, n) => {
      const before = this.history[n - 1];
      if ('reset' in item) {
        // each says something new
        if (before && 'reset' in before) expect(item.of !== before.of || item.position > before.position).toBe(true);
      } else if (before && before.of === item.of) expect(item.position).toBe(before.position + 1);
      else if (before) expect(before.of.reconnects && item.position === 1).toBe(true);
    });
  }
}

function idOf({ log, data, session: { options, closeReason } }: Model, position: number): string {
  const saysEnd = closeReason !== undefined && STOPS.includes(closeReason) && options.endEvent && position === data.length && position > 0;
  return `${log.token}:${saysEnd && data[position - 1]?.startsWith('{"reason"') ? 'end' : position}`;
}

/** Whether what was sent after a position may be more than is kept. */
function exceeds({ app, data, session: { options } }: Model, position: number): boolean {
  const missed = data.slice(position);
  const bytes = missed.reduce((sum, text) => sum + text.length + 'event: error\ndata: \n\n'.length, 0);
  const { maxEvents, maxBytes } = options.resume as { maxEvents: number; maxBytes: number };
  return missed.length > maxEvents || bytes > maxBytes || app.registry.options.resumeMaxTotalBytes < 1_000_000;
}

function positionOf(model: Model, id: string | undefined): number {
  const [token, position] = (id as string).split(':') as [string, string];
  expect(token).toBe(model.log.token);
  return position === 'end' ? model.data.length : Number(position);
}

type Description = typeof description extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly clients: Client[];
  readonly models: Model[] = [];
  app: MemoryApp;
  readonly #options: SessionDescription;
  readonly #logs = new Map<string, SessionLog>();
  /** As the model has it. */
  starts = 0;
  handlerRuns = 0;

  constructor(private readonly description: Description) {
    const { keyed, endEvent, maxEvents, maxBytes, bufferBytes, eager } = description;
    this.clients = eager.map((isEager) => new Client(isEager));
    this.app = this.#boot();
    this.#options = {
      principal: 'ann',
      ...(keyed ? { key: 'answer' } : {}),
      options: {
        heartbeat: false,
        timeoutMs: false,
        retryMs: 1_000,
        buffer: { maxBytes: bufferBytes, stallTimeoutMs: 5_000 },
        resume: { graceMs: GRACE_MS, maxEvents, maxBytes },
        endEvent: endEvent ? { type: 'end' } : false,
      },
    };
  }

  #boot(): MemoryApp {
    const app = new MemoryApp({ resumeMaxTotalBytes: this.description.maxTotalBytes });
    const { directory } = app.registry;
    const open = directory.open.bind(directory);
    directory.open = (sessionId, address, limits, host) => {
      const log = open(sessionId, address, limits, host);
      this.#logs.set(sessionId, log);
      return log;
    };
    app.registry.events$.subscribe(({ type, session: of }) => {
      const model = this.models.find((each) => each.session === of);
      if (model && type === 'detach' && of?.connections === 0) model.detachedAt = app.clock.now();
      if (model && type === 'attach') model.detachedAt = undefined;
    });
    return app;
  }

  get #live(): Model[] {
    return this.models.filter(({ app, endedAt }) => app === this.app && endedAt === undefined);
  }

  async perform(each: Step): Promise<void> {
    if (each === 'turn') await turns(2);
    else if (each === 'cleanup') new Cleanup(this.app.registry).run();
    else if (each === 'restart') await this.restart();
    else if ('emit' in each) this.#emit(each.session, each.emit);
    else if ('burst' in each) for (let n = 0; n < each.burst; n++) this.#emit(each.session, n);
    else if ('end' in each) this.#end(each.session, each.end);
    else if ('come' in each) this.come(this.clients[each.client] as Client, each.come, each.back);
    else if ('leave' in each) this.leave(this.clients[each.client] as Client, each.leave);
    else if ('pause' in each) this.clients[each.pause]?.response?.pause();
    else if ('resume' in each) this.#resume(this.clients[each.resume] as Client);
    else {
      this.app.clock.advance(each.advance);
      await turns(1);
    }
    this.#observe();
  }

  #emit(which: number, length: number): void {
    const live = this.#live;
    const model = live[which % live.length];
    if (!model) return;
    const data = `<${model.index}:${model.data.length + 1}>${'x'.repeat(length)}`;
    model.data.push(data);
    const result = model.session.send(data);
    // what the log of a session took that ended by it is nobody's any more
    expect(result).toBe(model.session.closeReason === undefined ? 'accepted' : 'closed');
  }

  #end(which: number, how: CloseReason | 'reconnect'): void {
    const live = this.#live;
    const model = live[which % live.length];
    if (!model) return;
    const { session: ending, data } = model;
    if (how === 'error') data.push('Internal server error');
    if (ending.options.endEvent && how !== 'reconnect') data.push(JSON.stringify({ reason: how }));
    if (how === 'reconnect') {
      model.reconnects = true;
      ending.close({ reconnect: true });
    } else if (how === 'error') ending.fail(new Error('secret'));
    else ending.end(how);
    expect(ending.closeReason).toBe(how === 'reconnect' ? 'cancelled' : how);
    expect(model.log.tail).toBe(data.length);
  }

  come(who: Client, how: Way, back: number): Arrival['answer'] | undefined {
    if (who.isConnected) return undefined;
    who.takeIn(1);
    const id = this.#idFor(who, how, back);
    if (how !== 'id') {
      who.check();
      who.history = [];
    }
    const expected = this.#predict(id);
    const response = new MemoryResponse(this.description.highWaterMark);
    const arrival = this.app.arrive({ ...this.#options, response }, id);
    expect(arrival.answer).toBe(expected.answer);
    let { of } = expected;
    if (arrival.answer === 'started') {
      of = this.#onStarted(arrival);
      this.starts++;
    } else if (of && arrival.session) expect(arrival.session).toBe(of.session);
    who.response = of && response;
    who.expectation = of && { of, after: expected.after, reset: expected.reset };
    return arrival.answer;
  }

  #onStarted({ session: started }: Arrival): Model {
    const opened = started as ManagedSession;
    this.handlerRuns++;
    const log = this.#logs.get(opened.id) as SessionLog;
    const model: Model = {
      index: this.models.length,
      app: this.app,
      session: opened,
      log,
      data: [],
      endedAt: undefined,
      detachedAt: undefined,
      reconnects: false,
    };
    this.models.push(model);
    opened.signal.addEventListener('abort', () => (model.endedAt = model.app.clock.now()));
    opened.open();
    return model;
  }

  #idFor(who: Client, how: Way, back: number): string | undefined {
    switch (how) {
      case 'id':
        return who.lastId;
      case 'none':
        return undefined;
      case 'stale':
        return who.stale.at(-1 - back) ?? who.lastId;
      case 'future':
        return who.lastId?.replace(/:.*/, ':999999');
      case 'forged':
        return `${'F'.repeat(22)}:1`;
      case 'malformed':
        return `${who.lastId ?? ''}:`;
    }
  }

  /** What the application is to do with a client, by what is known of sessions. */
  #predict(id: string | undefined): { answer: Arrival['answer']; of?: Model; after: number; reset: string | undefined } {
    const start = (reset: string | undefined) => {
      const [of] = this.description.keyed ? this.#live : [];
      if (!of) return { answer: 'started' as const, after: 0, reset };
      const trimmed = of.log.events.trimmedUpTo();
      return { answer: 'attached' as const, of, after: 0, reset: reset ?? (trimmed > 0 ? 'trimmed' : undefined) };
    };
    if (id === undefined) return start(undefined);
    const [, token, position] = /^([\w-]{22}):(\d+|end)$/.exec(id) ?? [];
    if (token === undefined) return start('malformed');
    if (position === 'end') return { answer: 'nothing', after: 0, reset: undefined };
    const of = this.models.find(({ app, log }) => app === this.app && log.token === token);
    if (!of || (of.endedAt !== undefined && this.app.clock.now() >= of.endedAt + REMEMBERED_MS)) return start('unknown');
    const reason = of.session.closeReason;
    if (of.endedAt !== undefined && (of.reconnects || !STOPS.includes(reason as CloseReason))) {
      return start(of.reconnects ? undefined : reason === 'client-disconnect' ? 'expired' : 'ended');
    }
    const after = Number(position);
    if (after > of.data.length) return start('future');
    if (of.endedAt !== undefined && after === of.data.length) return { answer: 'nothing', after, reset: undefined };
    const reset = after < of.log.events.trimmedUpTo() ? 'trimmed' : undefined;
    return { answer: of.endedAt === undefined ? 'attached' : 'rest', of, after, reset };
  }

  leave(who: Client, upTo: number): void {
    const { response } = who;
    if (!response || !who.isConnected) return;
    who.takeIn(upTo);
    response.disconnect();
  }

  #resume({ response }: Client): void {
    if (response && !response.isGone) response.resume();
  }

  /** Nobody is told, and nothing is kept. */
  async restart(): Promise<void> {
    for (const each of this.clients) this.leave(each, 1);
    const { app } = this;
    for (const { session: gone } of this.#live) gone.end('cancelled');
    this.app = this.#boot();
    await bury(app);
  }

  #observe(): void {
    for (const { app, session: each, log, detachedAt, endedAt } of this.models) {
      if (app !== this.app) continue;
      const { state, closeReason } = each;
      // nobody will come for it
      if (state === 'closed' && log.ending?.after === 'restart') expect(log.events.size).toBe(0);
      if (state === 'detached') {
        // by whom it is waited for, must know how to come back
        expect(this.description.keyed || each.eventsSent > 0).toBe(true);
        expect(each.connections).toBe(0);
        expect(app.clock.now()).toBeLessThan((detachedAt as number) + GRACE_MS + LATE_MS);
      }
      if (state === 'open') expect(each.connections).toBeGreaterThan(0);
      // it waits for its client, unless there is none that knows how to come back
      if (closeReason === 'client-disconnect' && (this.description.keyed || each.eventsSent > 0)) {
        expect(endedAt).toBeGreaterThanOrEqual((detachedAt as number) + GRACE_MS);
        expect(endedAt).toBeLessThanOrEqual((detachedAt as number) + GRACE_MS + LATE_MS);
      }
    }
    for (const each of this.clients) if (each.response && !each.isConnected) each.takeIn(1);
  }

  /** All sessions complete, and all clients come until they have everything. */
  async conclude(): Promise<void> {
    for (let round = 0; ; round++) {
      expect(round).toBeLessThan(6);
      for (const each of this.clients) this.#resume(each);
      await turns();
      const answers = this.clients.map((each) => this.come(each, 'id', 0) ?? 'attached');
      await turns();
      for (const each of this.#live) this.#end(this.#live.indexOf(each), 'complete');
      await turns();
      this.#observe();
      if (answers.every((answer) => answer === 'nothing')) break;
    }
    for (const each of this.clients) each.check();
  }
}

/** Nothing of an application is left once its memory of ended sessions has passed. */
async function bury({ registry, clock }: MemoryApp): Promise<void> {
  await turns();
  expect(registry.size).toBe(0);
  clock.advance(REMEMBERED_MS + 20_000);
  await turns();
  new Cleanup(registry).run();
  expect(registry.directory.held.ended).toBe(0);
  expect(registry.connections.size).toBe(0);
  expect(registry.wheel.size).toBe(0);
  expect(clock.pending).toBe(0);
}

it('whatever clients and sessions do: a client has all, in order and once, or hears of it in one reset', async () => {
  await fc.assert(
    fc.asyncProperty(description, async (each) => {
      // what an earlier run has left would be no fault of this one
      const before = [loggedBytes.total, heldBytes.total];
      const world = new World(each);
      for (const one of each.steps) await world.perform(one);
      await world.conclude();
      expect(world.handlerRuns).toBe(world.starts);
      for (const { session: over } of world.models) expect(over).toMatchObject({ state: 'closed', pendingBytes: 0, connections: 0 });
      await bury(world.app);
      expect([loggedBytes.total, heldBytes.total]).toEqual(before);
    }),
    // more of them in npm run test:faults
    { numRuns: Number(process.env.FC_RUNS ?? 200) },
  );
});
