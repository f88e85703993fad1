import type { Position } from './event-log.js';

const MAX_TOPICS = 10_000;

/**
 * Up to where the events of each topic were trimmed: a table of fixed size. The topic whose last trimmed event is the oldest leaves it
 * first, and of all that have left only the newest such position is known, which is too high for the others: never too low.
 */
export class TrimmedTopics {
  /** In the order of their positions, as events are trimmed in order. */
  readonly #upTo = new Map<string, Position>();
  #others: Position = 0;

  constructor(private readonly maxTopics = MAX_TOPICS) {}

  /** An event was trimmed, later than all before. */
  add(topic: string, position: Position): void {
    this.#upTo.delete(topic);
    this.#upTo.set(topic, position);
    if (this.#upTo.size <= this.maxTopics) return;
    const [[oldest, upTo]] = this.#upTo as Iterable<[string, Position]> as [[string, Position]];
    this.#upTo.delete(oldest);
    this.#others = upTo;
  }

  upTo(topic: string): Position {
    return this.#upTo.get(topic) ?? this.#others;
  }
}
