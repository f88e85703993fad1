import type { Position } from './event-log.js';

/** Of one topic; those before `start` were trimmed. */
interface Positions {
  list: Position[];
  start: number;
}

/** From so many trimmed positions at the front of a list on it is copied, if they are half of it: each one costs O(1) all the same. */
const COMPACT_FROM = 64;

/** Where the events stand that a log has of each topic, so that the last ones of a topic are found without a look at all others. */
export class TopicPositions {
  readonly #topics = new Map<string, Positions>();

  /** An event was appended, later than all before. */
  add(topic: string, position: Position): void {
    const positions = this.#topics.get(topic);
    if (positions) positions.list.push(position);
    else this.#topics.set(topic, { list: [position], start: 0 });
  }

  /** The topic's oldest event was trimmed. A topic without events takes no memory. */
  dropOldest(topic: string): void {
    const positions = this.#topics.get(topic);
    if (!positions) return;
    positions.start++;
    if (positions.start === positions.list.length) {
      this.#topics.delete(topic);
    } else if (positions.start >= COMPACT_FROM && positions.start * 2 >= positions.list.length) {
      positions.list = positions.list.slice(positions.start);
      positions.start = 0;
    }
  }

  /** Where the oldest of the last `count` events of these topics together stands; `undefined` when there are none. */
  oldestOfLast(topics: Iterable<string>, count: number): Position | undefined {
    const candidates = [...topics].flatMap((topic) => this.#last(topic, count)).sort((a, b) => a - b);
    return candidates[Math.max(0, candidates.length - count)];
  }

  #last(topic: string, count: number): Position[] {
    const positions = this.#topics.get(topic);
    if (!positions) return [];
    return positions.list.slice(Math.max(positions.start, positions.list.length - count));
  }
}
