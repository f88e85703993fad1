import type { EncodedEvent } from '../event/encode.js';
import type { OverflowPolicy } from '../options/options.js';
import { type Backlog, MAX_WRITE_BYTES, type PushResult, type Slice } from './backlog.js';
import { heldBytes } from './held-bytes.js';

/**
 * What waits for one connection, in order, within `maxBytes`:
 *
 *     push -> [ latest: by type | queue ] -> rest of a large event -> take
 *
 * Bytes count from `push` until `take` hands them out. An event that has begun to leave can't be dropped any more.
 */
export class Outbox implements Backlog {
  /** What leaves next; mostly it waits alone, and no array is made for it. */
  #first: EncodedEvent | undefined;
  #behind: EncodedEvent[] | undefined;
  /** Of what is behind, where the next stands. */
  #next = 0;
  /** With `latest`, from an overflow until the connection takes again: the newest per type, in the order of arrival. */
  #latest: Map<string, EncodedEvent> | undefined;
  /** A large event that has begun to leave, and how much of it has. */
  #rest: EncodedEvent | undefined;
  #restOffset = 0;
  #bytes = 0;

  constructor(
    private readonly maxBytes: number,
    private readonly overflow: OverflowPolicy,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  get ownBytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  fits(event: EncodedEvent): boolean {
    return this.#bytes + event.byteLength <= this.maxBytes || this.#bytes === 0;
  }

  push(event: EncodedEvent): PushResult {
    if (this.#latest) return this.#replace(event);
    if (this.fits(event)) {
      this.#append(event);
      return 0;
    }
    switch (this.overflow) {
      case 'close':
        return 'overflow';
      case 'drop-oldest':
        return this.#dropOldestFor(event);
      case 'latest':
        return this.#conflate() + this.#replace(event);
    }
  }

  force(event: EncodedEvent): void {
    this.#spill();
    this.#append(event);
  }

  discard(): void {
    this.#spill();
    for (let event = this.#shift(); event; event = this.#shift()) heldBytes.release(event);
    if (this.#rest) heldBytes.release(this.#rest);
    this.#rest = undefined;
    this.#bytes = 0;
  }

  take(): Slice | undefined {
    if (this.#rest) return this.#takeRest(this.#rest);
    this.#spill();
    const first = this.#first;
    if (!first) return undefined;
    if (first.byteLength > MAX_WRITE_BYTES) {
      this.#shift();
      this.#rest = first;
      this.#restOffset = 0;
      return this.#takeRest(first);
    }
    return this.#takeWhole(first);
  }

  #takeWhole(first: EncodedEvent): Slice {
    if (!this.#behind) {
      this.#first = undefined;
      this.#release(first);
      return { chunk: first.text, byteLength: first.byteLength, events: first.committed ? 1 : 0 };
    }
    let chunk = '';
    let byteLength = 0;
    let events = 0;
    for (let event = this.#first; event && byteLength + event.byteLength <= MAX_WRITE_BYTES; event = this.#first) {
      this.#shift();
      heldBytes.release(event);
      chunk += event.text;
      byteLength += event.byteLength;
      if (event.committed) events++;
    }
    this.#bytes -= byteLength;
    return { chunk, byteLength, events };
  }

  #takeRest(event: EncodedEvent): Slice {
    const chunk = event.bytes.subarray(this.#restOffset, this.#restOffset + MAX_WRITE_BYTES);
    this.#restOffset += chunk.byteLength;
    this.#bytes -= chunk.byteLength;
    if (this.#restOffset < event.byteLength) return { chunk, byteLength: chunk.byteLength, events: 0 };
    heldBytes.release(event);
    this.#rest = undefined;
    return { chunk, byteLength: chunk.byteLength, events: event.committed ? 1 : 0 };
  }

  #append(event: EncodedEvent): void {
    this.#enqueue(event);
    this.#hold(event);
  }

  #enqueue(event: EncodedEvent): void {
    if (this.#first) (this.#behind ??= []).push(event);
    else this.#first = event;
  }

  #hold(event: EncodedEvent): void {
    this.#bytes += event.byteLength;
    heldBytes.hold(event);
  }

  #release(event: EncodedEvent): void {
    this.#bytes -= event.byteLength;
    heldBytes.release(event);
  }

  #shift(): EncodedEvent | undefined {
    const event = this.#first;
    const behind = this.#behind;
    this.#first = behind?.[this.#next];
    if (!behind) return event;
    this.#next++;
    if (this.#next === behind.length) {
      this.#behind = undefined;
      this.#next = 0;
    } else if (this.#next >= 1024 && this.#next * 2 >= behind.length) {
      this.#behind = behind.slice(this.#next);
      this.#next = 0;
    }
    return event;
  }

  #dropOldestFor(event: EncodedEvent): PushResult {
    // what has begun to leave stays: an event that does not fit beside it never will
    const leaving = this.#rest ? this.#rest.byteLength - this.#restOffset : 0;
    if (leaving > 0 && leaving + event.byteLength > this.maxBytes) return 'dropped';
    let dropped = 0;
    while (this.#bytes > leaving && this.#bytes + event.byteLength > this.maxBytes) {
      const oldest = this.#shift() as EncodedEvent;
      this.#release(oldest);
      if (oldest.committed) dropped++;
    }
    this.#append(event);
    return dropped;
  }

  /** Turns the queue into the newest event per type; returns how many others there were. */
  #conflate(): number {
    const latest = (this.#latest = new Map<string, EncodedEvent>());
    let dropped = 0;
    for (let event = this.#shift(); event; event = this.#shift()) {
      this.#release(event);
      dropped += this.#keepLatest(latest, event);
    }
    return dropped;
  }

  #replace(event: EncodedEvent): number {
    const latest = this.#latest as Map<string, EncodedEvent>;
    let dropped = this.#keepLatest(latest, event);
    // more types than there is room for: those that changed longest ago go, never the newest
    for (const [type, oldest] of latest) {
      if (this.#bytes <= this.maxBytes || oldest === event) break;
      latest.delete(type);
      this.#release(oldest);
      if (oldest.committed) dropped++;
    }
    return dropped;
  }

  #keepLatest(latest: Map<string, EncodedEvent>, event: EncodedEvent): number {
    const replaced = latest.get(event.slot);
    if (replaced) {
      latest.delete(event.slot);
      this.#release(replaced);
    }
    latest.set(event.slot, event);
    this.#hold(event);
    return replaced?.committed ? 1 : 0;
  }

  /** Back to a queue: the connection takes again. */
  #spill(): void {
    if (!this.#latest) return;
    for (const event of this.#latest.values()) this.#enqueue(event);
    this.#latest = undefined;
  }
}
