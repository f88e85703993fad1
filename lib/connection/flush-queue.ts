/** What is flushed at the end of the turn. */
export interface Flushable {
  flush(): void;
}

/**
 * Joins what a connection gets in one turn of the event loop into one write: the first event of the turn puts it here, or who keeps several
 * for one session, and one `process.nextTick` for all of them flushes them.
 */
export class FlushQueue {
  #waiting: Flushable[] = [];

  add(flushable: Flushable): void {
    if (this.#waiting.push(flushable) === 1) process.nextTick(this.#run);
  }

  readonly #run = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    let flushed = 0;
    try {
      for (const flushable of waiting) {
        flushed++;
        flushable.flush();
      }
    } finally {
      // one that throws, as a method that middleware has replaced may, keeps nobody else from being written
      if (flushed < waiting.length) {
        this.#waiting.push(...waiting.slice(flushed));
        process.nextTick(this.#run);
      }
    }
  };
}
