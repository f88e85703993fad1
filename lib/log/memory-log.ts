import { TopicPositions } from './topic-positions.js';
import { TrimmedTopics } from './trimmed-topics.js';
import type { HeldLog, LogLimits, LogPage, Loggable, Position } from './event-log.js';

/** Whom a log tells what it holds. */
export interface LogAccount<E> {
  hold(event: E): void;
  release(event: E): void;
  /** An event was appended: if that is too much for all logs together, some of them have to give way. */
  onAppended?(): void;
}

const NO_ACCOUNT: LogAccount<unknown> = { hold: () => undefined, release: () => undefined };

interface Follower<E> {
  readonly listener: (event: E, position: Position) => void;
  /** It hears of what was appended since. */
  readonly after: Position;
  hasEnded: boolean;
}

/** From so many free places at the front of the array on it is copied, if they are half of it: each append costs O(1) all the same. */
const COMPACT_FROM = 1_024;

/**
 * The engine in memory: a bounded ring of events that others may hold as well.
 *
 *     #events: [ free, free, | oldest kept, ..., newest ]
 *                            ^ #start, at the position #trimmed + 1
 */
export class MemoryLog<E extends Loggable> implements HeldLog<E> {
  #events: (E | undefined)[] = [];
  #start = 0;
  #trimmed: Position = 0;
  #bytes = 0;
  /** When each was appended, by the clock; only where ages count. */
  readonly #times: number[] | undefined;
  #topics: TopicPositions | undefined;
  #trimmedTopics: TrimmedTopics | undefined;
  #followers: readonly Follower<E>[] | undefined;
  #isAnnouncing = false;
  /** What followers have appended while they were told of another event. */
  #unannounced: { readonly event: E; readonly position: Position }[] | undefined;
  /** What the first follower has thrown that threw meanwhile. */
  #thrown: { readonly error: unknown } | undefined;

  constructor(
    readonly epoch: string,
    private readonly limits: LogLimits,
    private readonly now: () => number = () => 0,
    private readonly account: LogAccount<E> = NO_ACCOUNT,
  ) {
    if (limits.maxAgeMs !== undefined) this.#times = [];
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#events.length - this.#start;
  }

  append(event: E): Position {
    this.#events.push(event);
    this.#times?.push(this.now());
    this.#bytes += event.byteLength;
    this.account.hold(event);
    const position = this.tail();
    if (event.topic !== undefined) (this.#topics ??= new TopicPositions()).add(event.topic, position);
    const { maxEvents = Infinity, maxBytes } = this.limits;
    while (this.size > 1 && (this.size > maxEvents || this.#bytes > maxBytes)) this.dropOldest();
    this.trim();
    this.account.onAppended?.();
    this.#announce(event, position);
    return position;
  }

  read(after: Position, maxBytes: number): LogPage<E> {
    const from = Math.max(after, this.#trimmed) - this.#trimmed + this.#start;
    let to = from;
    let bytes = 0;
    for (; to < this.#events.length; to++) {
      bytes += (this.#events[to] as E).byteLength;
      if (bytes > maxBytes && to > from) break;
    }
    const events = this.#events.slice(from, to) as E[];
    return { events, reached: events.length > 0 ? this.#trimmed + to - this.#start : after, isTrimmed: after < this.#trimmed };
  }

  at(position: Position): E | undefined {
    return position > this.#trimmed ? this.#events[position - this.#trimmed - 1 + this.#start] : undefined;
  }

  tail(): Position {
    return this.#trimmed + this.size;
  }

  positionBefore(topics: Iterable<string>, count: number): Position {
    const oldest = this.#topics?.oldestOfLast(topics, count);
    return oldest === undefined ? this.tail() : oldest - 1;
  }

  trim(): void {
    const { maxAgeMs } = this.limits;
    if (!this.#times || maxAgeMs === undefined) return;
    const oldestAllowed = this.now() - maxAgeMs;
    while (this.size > 0 && (this.#times[this.#start] as number) < oldestAllowed) this.dropOldest();
  }

  trimmedUpTo(topic?: string): Position {
    if (topic === undefined) return this.#trimmed;
    return this.#trimmedTopics?.upTo(topic) ?? 0;
  }

  follow(listener: (event: E, position: Position) => void): () => void {
    const follower = { listener, after: this.tail(), hasEnded: false };
    this.#followers = [...(this.#followers ?? []), follower];
    return () => {
      follower.hasEnded = true;
      this.#followers = this.#followers?.filter((other) => other !== follower);
    };
  }

  dropOldest(): void {
    const event = this.#events[this.#start] as E;
    this.#events[this.#start] = undefined;
    this.#start++;
    this.#trimmed++;
    this.#bytes -= event.byteLength;
    this.account.release(event);
    if (event.topic !== undefined) {
      this.#topics?.dropOldest(event.topic);
      (this.#trimmedTopics ??= new TrimmedTopics()).add(event.topic, this.#trimmed);
    }
    if (this.#start < COMPACT_FROM || this.#start * 2 < this.#events.length) return;
    this.#events = this.#events.slice(this.#start);
    this.#times?.splice(0, this.#start);
    this.#start = 0;
  }

  clear(): void {
    while (this.size > 0) this.dropOldest();
    this.#events = [];
    this.#start = 0;
    if (this.#times) this.#times.length = 0;
  }

  /**
   * Tells the followers of one event after the other, whatever they do meanwhile. One that throws keeps nobody from hearing of anything:
   * what it has thrown is thrown when all were told, to whoever has appended first. The event stands in the log all the same.
   */
  #announce(event: E, position: Position): void {
    if (!this.#followers) return;
    if (this.#isAnnouncing) {
      (this.#unannounced ??= []).push({ event, position });
      return;
    }
    this.#isAnnouncing = true;
    this.#tell(event, position);
    for (let next = this.#unannounced?.shift(); next; next = this.#unannounced?.shift()) this.#tell(next.event, next.position);
    this.#isAnnouncing = false;
    this.#rethrow();
  }

  #tell(event: E, position: Position): void {
    for (const follower of this.#followers ?? []) {
      if (follower.hasEnded || position <= follower.after) continue;
      try {
        follower.listener(event, position);
      } catch (error) {
        this.#thrown ??= { error };
      }
    }
  }

  #rethrow(): void {
    const thrown = this.#thrown;
    this.#thrown = undefined;
    if (thrown) throw thrown.error;
  }
}
