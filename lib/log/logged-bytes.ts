import type { Loggable } from './event-log.js';

/** What the object of an event takes beside its text; a log's own entry is a pointer. */
const BYTES_PER_EVENT = 128;
const BYTES_PER_ENTRY = 8;

/**
 * What all logs of sessions in the process take together. An event that stands in many logs is in memory once, and counts once.
 */
class LoggedBytes {
  total = 0;

  hold(event: Loggable): void {
    if (event.logs++ === 0) this.total += event.byteLength + BYTES_PER_EVENT;
    this.total += BYTES_PER_ENTRY;
  }

  release(event: Loggable): void {
    if (--event.logs === 0) this.total -= event.byteLength + BYTES_PER_EVENT;
    this.total -= BYTES_PER_ENTRY;
  }
}

/** One for the process, as applications in one process may share events; the limit of each is held against it. */
export const loggedBytes = new LoggedBytes();
