import { expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { ChannelEvent } from '../../lib/channel/channel-event.js';
import { Channels } from '../../lib/channel/channels.js';
import type { SseEvent } from '../../lib/event/sse-event.js';
import type { EventLog } from '../../lib/log/event-log.js';
import { MemoryLog } from '../../lib/log/memory-log.js';
import { FakeClock } from '../../lib/testing/fake-clock.js';
import { ChannelClient } from '../support/channels.js';
import { turns } from '../support/memory-session.js';
import { SlowLog } from '../support/slow-log.js';

/*
 * Clients that read, stop reading, are cut and come back, while events are published, trimmed, and lost with a restart. All that a client gets
 * is written down, and each history is held against what was published: nothing twice, nothing out of order, never a gap without a reset,
 * never a reset without a loss. (After Jepsen: do much at once, write down what everybody saw, judge it afterwards.)
 */

jest.setTimeout(120_000);

const TOPICS = ['a', 'b', 'c', 'd'];
const CLIENTS: readonly string[][] = [['a'], ['b', 'c'], ['a', 'b', 'c'], ['d']];
const MAX_AGE_MS = 1_000;

type Engine = 'at once' | 'slow' | 'slow, telling late';

/** With which position a client comes back. */
type Return = 'kept' | 'none' | 'malformed' | 'future' | { replay: number };

type Command =
  | { publish: string; size: number }
  | { connect: number; with: Return; pauseAfter: number | undefined; leaveAfter: number | undefined }
  | { cut: number }
  | { pause: number }
  | { resume: number }
  | { advance: number }
  | { turns: number }
  | 'expire'
  | 'restart';

const client = fc.nat(CLIENTS.length - 1);
const size = fc.oneof(fc.nat(30), fc.nat(30), fc.nat(30_000));
const returns: fc.Arbitrary<Return> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Return>('kept') },
  { weight: 2, arbitrary: fc.constantFrom<Return>('none', 'malformed', 'future') },
  { weight: 2, arbitrary: fc.record({ replay: fc.integer({ min: 1, max: 4 }) }) },
);
const soon = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 3 });

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ publish: fc.constantFrom(...TOPICS), size }) },
  { weight: 6, arbitrary: fc.record({ connect: client, with: returns, pauseAfter: soon, leaveAfter: soon }) },
  { weight: 3, arbitrary: fc.record({ cut: client }) },
  { weight: 3, arbitrary: fc.record({ pause: client }) },
  { weight: 4, arbitrary: fc.record({ resume: client }) },
  { weight: 2, arbitrary: fc.record({ advance: fc.nat(800) }) },
  { weight: 6, arbitrary: fc.record({ turns: fc.nat(8) }) },
  { weight: 2, arbitrary: fc.constantFrom<Command>('expire', 'restart') },
);

const story = fc.record({
  commands: fc.array(command, { minLength: 10, maxLength: 80, size: 'max' }),
  maxBytes: fc.constantFrom(150, 600, 200_000),
});

interface Published {
  readonly position: number;
  readonly topic: string;
  readonly data: string;
}

/** An engine from its start to its end, and all that was published on it, as it knows best. */
class Epoch {
  readonly published: Published[] = [];
  readonly channels: Channels;
  readonly #log: MemoryLog<ChannelEvent>;

  constructor(
    readonly name: string,
    engine: Engine,
    maxBytes: number,
    clock: FakeClock,
  ) {
    const limits = { maxBytes, maxAgeMs: MAX_AGE_MS };
    const log: EventLog<ChannelEvent> =
      engine === 'at once'
        ? new MemoryLog<ChannelEvent>(name, limits, () => clock.now())
        : new SlowLog<ChannelEvent>(name, limits, () => clock.now(), engine !== 'slow');
    this.#log = log instanceof SlowLog ? log.inner : (log as MemoryLog<ChannelEvent>);
    this.#log.follow((event, position) =>
      this.published.push({ position, topic: event.topic, data: String(event.at(name, position).data) }),
    );
    this.channels = new Channels(log);
  }

  get tail(): number {
    return this.#log.tail();
  }

  get trimmed(): number {
    return this.#log.trimmedUpTo();
  }

  of(topics: readonly string[], after: number, until = Infinity): Published[] {
    return this.published.filter(({ topic, position }) => topics.includes(topic) && position > after && position <= until);
  }
}

/** What a connection was begun with, what it got, and what was true at the time. */
interface Connection {
  readonly epoch: Epoch;
  readonly topics: readonly string[];
  readonly after: string | undefined;
  readonly replay: number | undefined;
  readonly tailAtStart: number;
  readonly trimmedAtStart: number;
  /** How many events the application had published by then, appended or not. */
  readonly publishedAtStart: number;
  readonly got: { readonly event: SseEvent; readonly trimmed: number; readonly tail: number }[];
  readonly client: ChannelClient;
}

class World {
  readonly clock = new FakeClock();
  readonly history: Connection[] = [];
  readonly current: (Connection | undefined)[] = CLIENTS.map(() => undefined);
  readonly lastIds: (string | undefined)[] = CLIENTS.map(() => undefined);
  epoch: Epoch;
  #epochs = 0;
  #published = 0;

  constructor(
    private readonly engine: Engine,
    private readonly maxBytes: number,
  ) {
    this.epoch = this.#newEpoch();
  }

  async perform(step: Command): Promise<void> {
    if (step === 'expire') this.epoch.channels.expire();
    else if (step === 'restart') this.#restart();
    else if ('publish' in step) void this.epoch.channels.channel(step.publish).publish(`${this.#published++} ${'x'.repeat(step.size)}`);
    else if ('connect' in step) this.#connect(step.connect, step.with, step.pauseAfter, step.leaveAfter);
    else if ('cut' in step) this.#cut(step.cut);
    else if ('pause' in step) this.current[step.pause]?.client.pause();
    else if ('resume' in step) this.current[step.resume]?.client.resume();
    else if ('advance' in step) this.clock.advance(step.advance);
    else await turns(step.turns);
  }

  #newEpoch(): Epoch {
    return new Epoch(`epoch-${this.#epochs++}`, this.engine, this.maxBytes, this.clock);
  }

  #restart(): void {
    CLIENTS.forEach((_, index) => this.#cut(index));
    this.epoch = this.#newEpoch();
  }

  #cut(index: number): void {
    this.current[index]?.client.leave();
    this.current[index] = undefined;
  }

  #connect(index: number, how: Return, pauseAfter = Infinity, leaveAfter = Infinity): void {
    this.#cut(index);
    const { epoch } = this;
    const topics = CLIENTS[index] as string[];
    const after = this.#idFor(index, how);
    const replay = typeof how === 'object' ? how.replay : undefined;
    const got: Connection['got'] = [];
    const onEvent = (event: SseEvent, reader: ChannelClient): void => {
      got.push({ event, trimmed: epoch.trimmed, tail: epoch.tail });
      this.lastIds[index] = event.id;
      if (got.length === pauseAfter) reader.pause();
      if (got.length !== leaveAfter) return;
      reader.leave();
      this.current[index] = undefined;
    };
    const { tail: tailAtStart, trimmed: trimmedAtStart } = epoch;
    const connection = {
      epoch,
      topics,
      after,
      replay,
      tailAtStart,
      trimmedAtStart,
      publishedAtStart: this.#published,
      got,
      client: new ChannelClient(epoch.channels.stream(topics, { after, replay }), { onEvent }),
    };
    this.history.push(connection);
    this.current[index] = connection;
  }

  #idFor(index: number, how: Return): string | undefined {
    if (how === 'kept') return this.lastIds[index];
    if (how === 'malformed') return `${this.epoch.name}:${index}x`;
    if (how === 'future') return `${this.epoch.name}:${this.epoch.tail + 1_000}`;
    return undefined;
  }
}

const seen = new Map<string, number>();
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

const offsetOf = (event: SseEvent): number => Number(event.id?.split(':')[1]);

/** The reason with which a connection has to begin, by what its client came back with. */
function expectedReset({ after, epoch, tailAtStart }: Connection): string | undefined {
  const [, name, digits] = /^(.+):(\d+)$/.exec(after ?? '') ?? [];
  if (after === undefined) return undefined;
  if (name === undefined) return 'malformed';
  if (name !== epoch.name) return 'unknown';
  return Number(digits) > tailAtStart ? 'future' : undefined;
}

/** Holds one connection against what was published; gives the position up to which its client has all. */
function judge(connection: Connection, engine: Engine): number | undefined {
  const { epoch, topics, got } = connection;
  const first = expectedReset(connection);
  let position = first === undefined ? startOf(connection, engine) : undefined;
  got.forEach(({ event, trimmed }, index) => {
    expect(event.id?.startsWith(`${epoch.name}:`)).toBe(true);
    const offset = offsetOf(event);
    if (event.type === 'reset') {
      const { reason } = JSON.parse(String(event.data)) as { reason: string };
      count(reason);
      // what is lost was published, is one of its own, and is in the log no more
      expect(offset).toBeLessThanOrEqual(trimmed);
      if (index === 0 && first !== undefined) {
        expect(reason).toBe(first);
      } else {
        expect(reason).toBe('trimmed');
        expect(epoch.of(topics, position as number, offset)).not.toEqual([]);
      }
    } else {
      // a client that could not be resumed hears of that before anything else
      expect(position).toBeDefined();
      const [next] = epoch.of(topics, position as number);
      expect({ offset, data: event.data }).toEqual({ offset: next?.position, data: next?.data });
      count('event');
    }
    position = offset;
  });
  return position;
}

/** The position after which a connection that is not reset begins. */
function startOf(connection: Connection, engine: Engine): number {
  const { epoch, after, replay, tailAtStart, publishedAtStart, got } = connection;
  if (after !== undefined) return Number(after.split(':')[1]);
  if (replay !== undefined) return startOfReplay(connection, replay, engine);
  const [first] = got;
  if (engine !== 'slow, telling late') return tailAtStart;
  // where such an engine ends when it is asked, and what it still has to tell, is its own business; what is published from then on is not
  const before = epoch.published.filter(({ data }) => parseInt(data) < publishedAtStart).at(-1)?.position ?? 0;
  return first ? Math.min(before, offsetOf(first.event) - 1) : before;
}

/** Where the last `replay` events of a connection begin, as they were when it asked; when an engine that takes time looked, is not known. */
function startOfReplay(connection: Connection, replay: number, engine: Engine): number {
  const { epoch, topics, tailAtStart, trimmedAtStart, got } = connection;
  const [first] = got;
  const beforeLast = (tail: number, trimmed: number): number => {
    const own = epoch.of(topics, trimmed, tail);
    const oldest = own.at(-replay) ?? own[0];
    return oldest ? oldest.position - 1 : tail;
  };
  if (first && first.event.type !== 'reset') count('replayed');
  if (engine === 'at once') return beforeLast(tailAtStart, trimmedAtStart);
  const starts: number[] = [];
  for (let tail = tailAtStart; tail <= (first?.tail ?? epoch.tail); tail++) {
    for (let trimmed = trimmedAtStart; trimmed <= Math.min(tail, first?.trimmed ?? epoch.trimmed); trimmed++)
      starts.push(beforeLast(tail, trimmed));
  }
  if (!first) return Math.max(...starts);
  const offset = offsetOf(first.event);
  // what such an engine has told after the stream began belongs to it, also if it was published before
  if (engine === 'slow, telling late') starts.push(Math.min(offset - 1, ...starts));
  if (first.event.type === 'reset') return Math.min(...starts);
  return starts.find((start) => epoch.of(topics, start)[0]?.position === offset) ?? Math.max(...starts);
}

it.each<[Engine, number]>([
  ['at once', 400],
  ['slow', 250],
  ['slow, telling late', 250],
])(
  'Clients of channels miss nothing without being told, and are told of nothing else (an engine that answers %s)',
  async (engine, numRuns) => {
    seen.clear();
    await fc.assert(
      fc.asyncProperty(story, async ({ commands, maxBytes }) => {
        const world = new World(engine, maxBytes);
        for (const step of commands) await world.perform(step);
        for (const connection of world.current) connection?.client.resume();
        await turns(60);
        for (const connection of world.current) connection?.client.resume();
        await turns(60);
        for (const connection of world.history) {
          const position = judge(connection, engine);
          expect(connection.client.error).toBeUndefined();
          // whoever still reads has all
          if (!world.current.includes(connection)) continue;
          if (position !== undefined) expect(connection.epoch.of(connection.topics, position)).toEqual([]);
          else throw new Error(`a client that came back with ${connection.after} was told nothing`);
          count('complete');
        }
        world.current.forEach((connection) => connection?.client.leave());
        expect(world.epoch.channels.stats().streams).toBe(0);
      }),
      { numRuns },
    );
    // that the stories are about something
    for (const what of ['event', 'trimmed', 'unknown', 'malformed', 'future', 'replayed', 'complete']) {
      expect([what, seen.get(what) ?? 0]).toEqual([what, expect.any(Number)]);
      expect(seen.get(what) ?? 0).toBeGreaterThan(10);
    }
  },
);
