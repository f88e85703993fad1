import type { Complete, ResumeOptions } from '../options/options.js';

/** While nobody reads, a source is read on by so many bytes a turn of the event loop: one that never waits must not keep that for itself. */
const BYTES_PER_TURN = 64 * 1024;

/**
 * How far a source that can wait may run ahead of its clients while none of them is there: until what they have not read is half of what the log
 * keeps. The other half is for what was handed over and has not arrived.
 */
export class HeadStart {
  #events = 0;
  #bytes = 0;
  #turnBytes = 0;
  #waiters: (() => void)[] = [];

  constructor(private readonly limits: Pick<Complete<ResumeOptions>, 'maxEvents' | 'maxBytes'>) {}

  /** So much is in the log that a client does not have. */
  set({ events, bytes }: { readonly events: number; readonly bytes: number }): void {
    this.#events = events;
    this.#bytes = bytes;
    this.tell();
  }

  /** Resolves when a source may go on, or no longer has to wait; who is told looks again. Not at once: a macrotask later. */
  async room(hasToWait: () => boolean): Promise<void> {
    // who sends without end must not keep the event loop for itself
    await new Promise((resolve) => setImmediate(resolve));
    while (hasToWait() && this.isUsedUp) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Whoever waits for room looks again. */
  tell(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  onAppended(bytes: number): void {
    this.#events++;
    this.#bytes += bytes;
    this.#turnBytes += bytes;
  }

  onNextTurn(): void {
    this.#turnBytes = 0;
  }

  get isUsedUp(): boolean {
    return this.#events >= this.limits.maxEvents / 2 || this.#bytes > this.limits.maxBytes / 2;
  }

  /** Whether more may be taken in this turn. */
  get isOpen(): boolean {
    return !this.isUsedUp && this.#turnBytes < BYTES_PER_TURN;
  }
}
