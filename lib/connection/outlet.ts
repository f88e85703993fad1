import type { EncodedEvent } from '../event/encode.js';
import type { PushResult } from './backlog.js';

/**
 * Where the events of a session go: its one {@link Connection}, or several with a log behind them. It reports how it ended, and does not know the
 * session's reasons.
 */
export interface Outlet {
  /** HTTP responses that are attached. */
  readonly connections: number;
  readonly eventsSent: number;
  readonly eventsDropped: number;
  readonly bytesSent: number;
  /** Ours and what Node still holds, in bytes. */
  readonly pendingBytes: number;
  /** Whether a source may go on. */
  readonly isReady: boolean;
  /** A response waits for its headers. */
  readonly isWaiting: boolean;
  /** The headers are being sent, and `on-headers` hooks of middleware run. */
  readonly isOpening: boolean;
  /** Nothing can be written any more. */
  readonly isClosed: boolean;
  /** Whether the client has gone, also when its leaving has not been heard of yet. */
  readonly isGone: boolean;
  /** Whether somebody else has answered the request in the meantime. */
  readonly isAnswered: boolean;
  /** Begins to watch the response; the owner hears at once of a client that has gone already. */
  attach(): void;
  push(event: EncodedEvent): PushResult;
  /** Asks its owner to be told when a source may go on. */
  tellWhenReady(): void;
  /** Sends the headers. Throws what Node, or an `on-headers` hook, has against them; then they can still be sent by others. */
  sendHead(): void;
  /**
   * Writes `openingLines`, which stand at the head of the first event's block, and what waits.
   * @returns `false` when the response has failed at that, or is gone
   */
  start(openingLines: string): boolean;
  /** Resolves when all that was pushed has been handed to the kernel, or nobody is there to take it. */
  flushed(): Promise<void>;
  /**
   * Writes the owner's last words, then what waits, and ends the response; cuts it off after `withinMs`.
   * @param closesSocket whether the client's connection ends with it
   */
  end(lastWords: readonly EncodedEvent[], withinMs: number, closesSocket?: boolean): void;
  /** Cuts all at once. */
  destroy(): void;
  /** Lets go of a response that was never opened: somebody else answers. */
  release(): void;
  /** Asks what its alarm asks, and ends what that should have ended: at once, or when the kernel has been asked too. */
  check(now: number): void;
}
