import { EncodedEvent, encode } from '../event/encode.js';
import { type ResetReason, resetFields } from '../event/reset.js';
import { type Backlog, MAX_WRITE_BYTES, type PushResult, type Slice } from '../connection/backlog.js';
import { Outbox } from '../connection/outbox.js';
import type { LogLimits, Position } from '../log/event-log.js';
import type { BufferOptions, Complete } from '../options/options.js';
import type { SessionLog } from './session-log.js';

/** A large event that has begun to leave, and how much of it has. */
interface Rest {
  readonly event: EncodedEvent;
  readonly position: Position;
  offset: number;
}

/** No type is called so. */
const OWN_LINES = '\0own';

/** What a block ends with: the id line comes before it. */
const BLANK_LINE = '\n';

/**
 * What waits for one connection of a resumable session: what the log has that it has not read. Missed events and live ones are the same to it, so
 * that none comes twice or not at all, whenever a client comes back and whatever is sent meanwhile.
 */
export class LogBacklog implements Backlog {
  #reached: Position;
  /** How much of the log's `appendedBytes` it was given, or has been told that it is lost. */
  #readBytes = 0;
  /** What they were when it came, or was told so: what it had missed, and is in the log whether it reads or not. */
  #missedBytes = 0;
  #rest: Rest | undefined;
  #left: { readonly events: number; readonly bytes: number } | undefined;
  /** Its client has not heard yet that it may have missed something, and why. */
  #reset: ResetReason | undefined;
  /** What is of this connection alone: comments, the last words; while there are any. */
  #own: Outbox | undefined;
  readonly #limits: Pick<Complete<BufferOptions>, 'maxBytes' | 'overflow'>;

  /** @param after what the client has */
  constructor(
    protected readonly log: SessionLog,
    after: Position,
    limits: Pick<Complete<BufferOptions>, 'maxBytes' | 'overflow'>,
    reset?: ResetReason,
  ) {
    this.#limits = limits;
    this.#reached = after;
    this.#reset = reset ?? (this.#isTrimmed ? 'trimmed' : undefined);
    this.#measure();
  }

  get bytes(): number {
    return this.#unreadBytes + this.ownBytes + (this.#reset ? this.#resetEvent(this.#reset).byteLength : 0);
  }

  /** Nothing waits that the log could trim. */
  get hasReadAll(): boolean {
    return this.#reached === this.log.tail;
  }

  /** The rest is the log's. */
  get ownBytes(): number {
    return this.#own?.bytes ?? 0;
  }

  get isEmpty(): boolean {
    return this.#rest === undefined && this.#reset === undefined && this.#own === undefined && this.#reached === this.log.tail;
  }

  /**
   * More was sent than may wait; one event alone always may. What it has missed does not count: cut for that, a client would come back for the same,
   * and never get further.
   */
  get isTooMuch(): boolean {
    const sent = this.log.appendedBytes - Math.max(this.#readBytes, this.#missedBytes);
    return sent > this.#limits.maxBytes && this.log.tail - this.#reached + (this.#rest ? 1 : 0) > 1;
  }

  /**
   * Says what its client has when it has what was taken; for the opening lines. A reset has an id of its own, and before it there is none: some clients
   * take an id at its line, and one that is cut in between would not hear of the reset.
   */
  get idLine(): string {
    return this.#reset ? '' : this.log.idLine(this.#reached);
  }

  /** When the log takes this event too, it has to trim what waits here. */
  losesBy({ byteLength }: EncodedEvent, { maxEvents, maxBytes }: Required<Pick<LogLimits, 'maxEvents' | 'maxBytes'>>): boolean {
    const waiting = this.log.tail - this.#reached;
    return waiting > 0 && (waiting >= maxEvents || this.#unreadBytes + byteLength > maxBytes);
  }

  fits(event: EncodedEvent): boolean {
    return this.#openOwn().fits(event);
  }

  push(event: EncodedEvent): PushResult {
    return this.#openOwn().push(event);
  }

  force(event: EncodedEvent): void {
    this.#openOwn().force(event);
  }

  /** Comments and a `retry:` that wait, as one. */
  takeOwnLines(): EncodedEvent | undefined {
    const chunks: Buffer[] = [];
    for (let slice = this.#takeOwn(); slice; slice = this.#takeOwn()) {
      chunks.push(typeof slice.chunk === 'string' ? Buffer.from(slice.chunk) : slice.chunk);
    }
    return chunks.length > 0 ? new EncodedEvent(Buffer.concat(chunks).toString(), OWN_LINES, false) : undefined;
  }

  take(): Slice | undefined {
    if (this.#rest) return this.#takeRest(this.#rest);
    if (this.#isTrimmed) this.#reset ??= 'trimmed';
    if (this.#reset) return this.#takeReset(this.#reset);
    return this.#own ? this.#takeOwn() : this.#takeEvents();
  }

  discard(): void {
    this.#own?.discard();
    this.#own = undefined;
    this.#left = this.unread;
    this.#rest = undefined;
    this.#reached = this.log.tail;
    this.#readBytes = this.log.appendedBytes;
  }

  /** What of the log its client has not been given, or had not when it was let go of. */
  get unread(): { readonly events: number; readonly bytes: number } {
    return this.#left ?? { events: this.log.tail - this.#reached + (this.#rest ? 1 : 0), bytes: this.#unreadBytes };
  }

  #openOwn(): Outbox {
    return (this.#own ??= new Outbox(this.#limits.maxBytes, this.#limits.overflow));
  }

  #takeOwn(): Slice | undefined {
    const slice = this.#own?.take();
    if (this.#own?.isEmpty) this.#own = undefined;
    return slice;
  }

  get #isTrimmed(): boolean {
    return this.log.hasTrimmedAfter(this.#reached);
  }

  /** Never a silent gap: one reset, then what the log still holds. */
  #takeReset(reason: ResetReason): Slice {
    const { text, byteLength } = this.#resetEvent(reason);
    this.#reset = undefined;
    this.#reached = Math.max(this.#reached, this.log.events.trimmedUpTo());
    this.#measure();
    return { chunk: text, byteLength, events: 1 };
  }

  #resetEvent(reason: ResetReason): EncodedEvent {
    return encode(resetFields(reason, this.log.idOf(Math.max(this.#reached, this.log.events.trimmedUpTo()))));
  }

  #takeEvents(): Slice | undefined {
    let chunk = '';
    let byteLength = 0;
    let taken = 0;
    for (let event = this.#next; event; event = this.#next) {
      const position = this.#reached + 1;
      const idLine = this.log.idLine(position);
      const size = event.byteLength + idLine.length;
      if (byteLength + size > MAX_WRITE_BYTES) {
        if (taken === 0) return this.#takeRest(this.#begin(event));
        break;
      }
      chunk += event.text.slice(0, -BLANK_LINE.length) + idLine + BLANK_LINE;
      byteLength += size;
      taken++;
      this.#reached = position;
    }
    if (taken === 0) return undefined;
    this.#readBytes += byteLength;
    return { chunk, byteLength, events: taken, isUnique: true };
  }

  get #unreadBytes(): number {
    return this.log.appendedBytes - this.#readBytes;
  }

  get #next(): EncodedEvent | undefined {
    return this.log.at(this.#reached + 1);
  }

  #begin(event: EncodedEvent): Rest {
    this.#reached++;
    return (this.#rest = { event, position: this.#reached, offset: 0 });
  }

  /** The text in slices, shared with all who send it; then its id. */
  #takeRest(rest: Rest): Slice {
    const { event, position, offset } = rest;
    const end = event.byteLength - BLANK_LINE.length;
    if (offset < end) {
      const chunk = event.bytes.subarray(offset, Math.min(end, offset + MAX_WRITE_BYTES));
      rest.offset += chunk.byteLength;
      this.#readBytes += chunk.byteLength;
      return { chunk, byteLength: chunk.byteLength, events: 0 };
    }
    this.#rest = undefined;
    const chunk = this.log.idLine(position) + BLANK_LINE;
    this.#readBytes += chunk.length;
    return { chunk, byteLength: chunk.length, events: 1 };
  }

  #measure(): void {
    this.#missedBytes = this.log.appendedBytes;
    this.#readBytes = this.#missedBytes - this.log.bytesAfter(this.#reached);
  }
}
