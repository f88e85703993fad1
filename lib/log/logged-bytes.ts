/** An event that may stand in many logs. */
export interface Shared {
  /** What it takes in memory, in bytes; always the same. */
  readonly memoryBytes: number;
  /** In how many logs it stands. */
  logs: number;
}

/** A log's own entry is a pointer. */
const BYTES_PER_ENTRY = 8;

/**
 * What all logs of sessions in the process take together. An event that stands in many logs is in memory once, and counts once.
 */
class LoggedBytes {
  total = 0;

  hold(event: Shared): void {
    if (event.logs++ === 0) this.total += event.memoryBytes;
    this.total += BYTES_PER_ENTRY;
  }

  release(event: Shared): void {
    if (--event.logs === 0) this.total -= event.memoryBytes;
    this.total -= BYTES_PER_ENTRY;
  }
}

/** One for the process, as applications in one process may share events; the limit of each is held against it. */
export const loggedBytes = new LoggedBytes();
