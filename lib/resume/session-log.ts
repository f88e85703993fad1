import type { EncodedEvent } from '../event/encode.js';
import type { HeldLog, Position } from '../log/event-log.js';
import { END } from './resume-id.js';

/** Who may read a session's log: what must be the same when a client comes back. */
export interface LogAddress {
  readonly principal: string | undefined;
  readonly key: string | undefined;
  /** Method and path pattern. */
  readonly route: string;
  /** Of the request, without its query: a guard that has looked at another `:id` proves nothing. */
  readonly path?: string | undefined;
}

/** How a session has ended, and what that means to a client that comes back by itself. */
export interface Ending {
  readonly after: 'stop' | 'restart';
  /** Why a client that starts anew has missed something; `undefined` when it was told to. */
  readonly reset: 'expired' | 'ended' | undefined;
  /** When, by the clock. */
  readonly at: number;
}

/**
 * The log of one resumable session under its token: what it has sent, with the ids that its clients see. It outlives the session for as long as a
 * client may come back for the rest.
 */
export class SessionLog {
  #ending: Ending | undefined;
  #closeListeners: (() => void)[] | undefined;
  /** The last event says that it was the last, to a client that comes back and to any node. */
  #saysEnd = false;

  /** An id line up to its position. */
  readonly #idStart: string;
  readonly #idStartLength: number;
  #appendedBytes: number;
  #tail: Position;
  #isClosed = false;
  /** Most take just this one, and need not look for it in the log. Until that is closed. */
  #newest: EncodedEvent | undefined;

  constructor(
    readonly token: string,
    readonly sessionId: string,
    readonly address: LogAddress,
    /** What is kept of them. From here on they come by {@link append} alone. */
    readonly events: HeldLog<EncodedEvent>,
  ) {
    // a copy of one piece: each event would go through the four that a template joins
    this.#idStart = Buffer.from(`id: ${token}:`, 'latin1').toString('latin1');
    this.#idStartLength = this.#idStart.length;
    this.#tail = events.tail();
    this.#appendedBytes = this.bytesAfter(0);
  }

  /** Absent while the session lives. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** The session is over; what it sends at its end is still to come. */
  end(ending: Ending): void {
    this.#ending = ending;
  }

  /** All that the session has ever sent is here: nothing more comes. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    this.#newest = undefined;
    const listeners = this.#closeListeners ?? [];
    this.#closeListeners = undefined;
    for (const listener of listeners) listener();
  }

  /** Gives back what it holds: nobody will read it any more. */
  clear(): void {
    this.#newest = undefined;
    this.events.clear();
  }

  /** Calls `listener` when the session is over and all that it sent is here. Returns what ends that. */
  onClose(listener: () => void): () => void {
    this.#closeListeners = [...(this.#closeListeners ?? []), listener];
    return () => {
      this.#closeListeners = this.#closeListeners?.filter((other) => other !== listener);
    };
  }

  /** Where the newest event stands. */
  get tail(): Position {
    return this.#tail;
  }

  /** All that was appended since this process has it, in bytes, id lines included: who has read so much of it has read all. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }

  /** @param saysEnd its id is `<token>:end` */
  append(event: EncodedEvent, saysEnd = false): Position {
    this.#saysEnd = saysEnd;
    // before its followers hear of it
    this.#appendedBytes += this.#sizeOf(event, saysEnd ? END : this.#tail + 1);
    this.#tail++;
    this.#newest = event;
    return this.events.append(event);
  }

  /** The event at a position; absent when it was trimmed, or has not been yet. */
  at(position: Position): EncodedEvent | undefined {
    if (position > this.#tail) return undefined;
    return (position === this.#tail ? this.#newest : undefined) ?? this.events.at(position);
  }

  /** Whether something that follows a position was trimmed. */
  hasTrimmedAfter(position: Position): boolean {
    const isNext = this.#newest !== undefined && position === this.#tail - 1;
    return !isNext && position < this.events.trimmedUpTo();
  }

  /** What tells a client where it stands. */
  idOf(position: Position): string {
    return `${this.token}:${this.#nameOf(position)}`;
  }

  idLine(position: Position): string {
    return this.#idStart + lineOf(this.#nameOf(position));
  }

  /** What follows a position, in bytes, id lines included. */
  bytesAfter(position: Position): number {
    let bytes = 0;
    let at = Math.max(position, this.events.trimmedUpTo()) + 1;
    for (let event = this.events.at(at); event; event = this.events.at(++at)) bytes += this.#sizeOf(event, this.#nameOf(at));
    return bytes;
  }

  #sizeOf({ byteLength }: EncodedEvent, name: Position | typeof END): number {
    return byteLength + this.#idStartLength + lineOf(name).length;
  }

  #nameOf(position: Position): Position | typeof END {
    return this.#saysEnd && position === this.#tail ? END : position;
  }
}

/** Sessions that get the same events are at the same position. */
const last: { name: Position | typeof END; line: string } = { name: 0, line: '0\n' };

/** What follows the token in an id line. */
function lineOf(name: Position | typeof END): string {
  if (name !== last.name) {
    last.name = name;
    last.line = `${name}\n`;
  }
  return last.line;
}
