import type { EncodedEvent } from '../event/encode.js';

/**
 * What waits in all outboxes of the process together. An event that waits for many connections is in memory once, and counts once: a
 * large broadcast is no flood.
 */
class HeldBytes {
  total = 0;

  hold(event: EncodedEvent): void {
    if (event.holders++ === 0) this.total += event.byteLength;
  }

  release(event: EncodedEvent): void {
    if (--event.holders === 0) this.total -= event.byteLength;
  }
}

/** One for the process, as applications in one process may share events; `maxTotalBytes` of each is held against it. */
export const heldBytes = new HeldBytes();
