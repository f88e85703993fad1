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

  constructor(
    readonly token: string,
    readonly sessionId: string,
    readonly address: LogAddress,
    readonly events: HeldLog<EncodedEvent>,
  ) {
    this.#idStart = Buffer.from(`id: ${token}:`, 'latin1').toString('latin1');
  }

  /** Absent while the session lives. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** The session is over; what it sends at its end is still to come. */
  end(ending: Ending): void {
    this.#ending = ending;
  }

  /** All that it has sent is here. */
  close(): void {
    const listeners = this.#closeListeners ?? [];
    this.#closeListeners = undefined;
    for (const listener of listeners) listener();
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
    return this.events.tail();
  }

  /** @param saysEnd its id is `<token>:end` */
  append(event: EncodedEvent, saysEnd = false): Position {
    this.#saysEnd = saysEnd;
    return this.events.append(event);
  }

  /** What tells a client where it stands. */
  idOf(position: Position): string {
    return `${this.token}:${this.#nameOf(position)}`;
  }

  idLine(position: Position): string {
    return `${this.#idStart}${this.#nameOf(position)}\n`;
  }

  /** How long that is, in bytes and in characters. */
  idLineLength(position: Position): number {
    return this.#idStart.length + String(this.#nameOf(position)).length + 1;
  }

  /** What follows a position, in bytes, id lines included. */
  bytesAfter(position: Position): number {
    let bytes = 0;
    let at = Math.max(position, this.events.trimmedUpTo()) + 1;
    for (let event = this.events.at(at); event; event = this.events.at(++at)) bytes += event.byteLength + this.idLineLength(at);
    return bytes;
  }

  #nameOf(position: Position): Position | typeof END {
    return this.#saysEnd && position === this.tail ? END : position;
  }
}
