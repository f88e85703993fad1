/** What is flushed at the end of the turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Joins what a connection gets in one turn of the event loop into one write: the first event of the turn puts the connection here, and
 * one `process.nextTick` for all of them flushes them.
 */
export class FlushQueue {
  #waiting: Flushable[] = [];

  add(flushable: Flushable): void {
    if (this.#waiting.push(flushable) === 1) process.nextTick(this.#run);
  }

  readonly #run = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const flushable of waiting) flushable.flush();
  };
}
