import type { Clock } from '../clock/clock.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/**
 * A clock that only {@link advance} moves. Put it in the place of the module's:
 * `Test.createTestingModule(...).overrideProvider(CLOCK).useValue(new FakeClock())`.
 */
export class FakeClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  schedule(callback: () => void, delayMs: number): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves the time on by `ms` milliseconds and rings, in their order and at their time, the timers that are due. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let timer = this.#earliest(end); timer; timer = this.#earliest(end)) {
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, timer.at);
      timer.callback();
    }
    this.#now = end;
  }

  /** The time jumps on by `ms` milliseconds with no timer rung on the way, as when the event loop was blocked; then they all are. */
  block(ms: number): void {
    this.#now += ms;
    this.advance(0);
  }

  #earliest(until: number): Timer | undefined {
    let earliest: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= until && (!earliest || timer.at < earliest.at)) earliest = timer;
    }
    return earliest;
  }
}

/**
 * Randomness without surprise: the given numbers in turn, over and over. `fakeRandom(0)` (the default) means no jitter at all.
 * @throws RangeError for a number that is not in [0, 1)
 */
export function fakeRandom(...values: number[]): () => number {
  const sequence = values.length > 0 ? values : [0];
  for (const value of sequence) {
    if (!(value >= 0 && value < 1)) throw new RangeError(`fakeRandom() got ${value}; expected numbers from 0 up to, but not including, 1.`);
  }
  let next = 0;
  return () => sequence[next++ % sequence.length] as number;
}
