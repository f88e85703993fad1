import type { EventLog, LogLimits, LogPage, Loggable, Position } from '../../lib/log/event-log.js';
import { MemoryLog } from '../../lib/log/memory-log.js';

const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Later than an answer. */
const LATE_TURNS = 4;

/**
 * An engine that needs time, as one in another process would: each call gets there a macrotask later, and its answer takes another. Calls
 * and answers keep their order. Followers are told at once, or later than the answers come.
 */
export class SlowLog<E extends Loggable> implements EventLog<E> {
  readonly inner: MemoryLog<E>;

  constructor(
    readonly epoch: string,
    limits: LogLimits,
    now: () => number,
    private readonly tellsLate = false,
  ) {
    this.inner = new MemoryLog(epoch, limits, now);
  }

  get size(): number {
    return this.inner.size;
  }

  get bytes(): number {
    return this.inner.bytes;
  }

  append(event: E): Promise<Position> {
    return this.#answer(() => this.inner.append(event));
  }

  read(after: Position, maxBytes: number): Promise<LogPage<E>> {
    return this.#answer(() => this.inner.read(after, maxBytes));
  }

  tail(): Promise<Position> {
    return this.#answer(() => this.inner.tail());
  }

  positionBefore(topics: Iterable<string>, count: number): Promise<Position> {
    return this.#answer(() => this.inner.positionBefore(topics, count));
  }

  trim(): void {
    this.inner.trim();
  }

  trimmedUpTo(topic?: string): Promise<Position> {
    return this.#answer(() => this.inner.trimmedUpTo(topic));
  }

  follow(listener: (event: E, position: Position) => void): () => void {
    let hasEnded = false;
    const stop = this.inner.follow((event, position) => {
      if (!this.tellsLate) listener(event, position);
      else void this.#late().then(() => (hasEnded ? undefined : listener(event, position)));
    });
    return () => {
      hasEnded = true;
      stop();
    };
  }

  async #late(): Promise<void> {
    for (let turn = 0; turn < LATE_TURNS; turn++) await later();
  }

  async #answer<T>(ask: () => T): Promise<T> {
    await later();
    const answer = ask();
    await later();
    return answer;
  }
}
