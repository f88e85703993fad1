import { TrimmedTopics } from './trimmed-topics.js';
import type { HeldLog, LogLimits, LogPage, Loggable, Position } from './event-log.js';

/** Whom a log tells what it holds. */
export interface LogAccount {
  hold(event: Loggable): void;
  release(event: Loggable): void;
  /** An event was appended: if that is too much for all logs together, some of them have to give way. */
  onAppended(): void;
}

const NO_ACCOUNT: LogAccount = { hold: () => undefined, release: () => undefined, onAppended: () => undefined };

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
  #topics: TrimmedTopics | undefined;
  #listeners: ((event: E, position: Position) => void)[] | undefined;

  constructor(
    readonly epoch: string,
    private readonly limits: LogLimits,
    private readonly now: () => number = () => 0,
    private readonly account: LogAccount = NO_ACCOUNT,
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
    const { maxEvents = Infinity, maxBytes } = this.limits;
    while (this.size > 1 && (this.size > maxEvents || this.#bytes > maxBytes)) this.dropOldest();
    this.account.onAppended();
    const position = this.tail();
    // a listener may stop to listen, or append in turn
    if (this.#listeners) for (const listener of [...this.#listeners]) listener(event, position);
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

  trim(): void {
    const { maxAgeMs } = this.limits;
    if (!this.#times || maxAgeMs === undefined) return;
    const oldestAllowed = this.now() - maxAgeMs;
    while (this.size > 0 && (this.#times[this.#start] as number) < oldestAllowed) this.dropOldest();
  }

  trimmedUpTo(topic?: string): Position {
    if (topic === undefined) return this.#trimmed;
    return this.#topics?.upTo(topic) ?? 0;
  }

  follow(listener: (event: E, position: Position) => void): () => void {
    this.#listeners = [...(this.#listeners ?? []), listener];
    return () => {
      this.#listeners = this.#listeners?.filter((other) => other !== listener);
    };
  }

  dropOldest(): void {
    const event = this.#events[this.#start] as E;
    this.#events[this.#start] = undefined;
    this.#start++;
    this.#trimmed++;
    this.#bytes -= event.byteLength;
    this.account.release(event);
    if (event.topic !== undefined) (this.#topics ??= new TrimmedTopics()).add(event.topic, this.#trimmed);
    if (this.#start < COMPACT_FROM || this.#start * 2 < this.#events.length) return;
    this.#events = this.#events.slice(this.#start);
    this.#times?.splice(0, this.#start);
    this.#start = 0;
  }

  clear(): void {
    while (this.size > 0) this.dropOldest();
    this.#events = [];
    this.#start = 0;
  }
}
