import type { LogLimits, MaybePromise, Position } from '../log/event-log.js';
import type { Ending, LogAddress, SessionLog } from './session-log.js';

/** What other nodes are asked to end: sessions that match all that is given. */
export interface RemoteFilter {
  readonly principal?: string;
  readonly key?: string;
  readonly route?: string;
  readonly state?: string;
}

/** What an engine asks of a session, on the node where that lives. */
export interface SessionHost {
  /** Somebody on another node has ended it. */
  cancel(): void;
  /**
   * So many clients of other nodes read its log now, and the furthest has come to this position: while there are any, it is not without
   * a client, and a source that can wait goes at their pace. To be told anew every now and then.
   */
  onReadersElsewhere(count: number, reached: Position): void;
}

/**
 * Which sessions can be resumed, where they live, and for a while how those that are over have ended. The other port for storage;
 * every engine passes the same contract tests (`test/support/session-directory-contract.ts`).
 *
 * What it finds can be read at once: an engine whose sessions live on several nodes brings the log here first.
 */
export interface SessionDirectory {
  /** Opens the log of a new session, which can be found from now on. */
  open(sessionId: string, address: LogAddress, limits: LogLimits, host: SessionHost): SessionLog;
  /** The log of a token, whether its session lives or is over. */
  find(token: string): MaybePromise<SessionLog | undefined>;
  /** That of the live session which the application calls so, of the same principal, route and path; the newest, if there are several. */
  findByKey(address: LogAddress): MaybePromise<SessionLog | undefined>;
  /** A client of this node reads the log of a session that lives on another, until what this returns is called. */
  read(log: SessionLog): () => void;
  /** The session is over. Its log is kept for who may still come for the rest; after a `restart` nobody does, and it is the session's to clear. */
  end(log: SessionLog, ending: Ending): void;
  /** Nobody can come back to this one. */
  forget(log: SessionLog): void;
  /** Forgets sessions that have been over for long. */
  expire(): void;
  /** Gives back all that is held: the application has stopped. */
  dispose(): void;
  /** Ends a session of another node as `cancelled`. `false` when there is none of this id. */
  cancel(sessionId: string): MaybePromise<boolean>;
  /** Ends those sessions of other nodes that match as `cancelled`; how many there were. */
  cancelAll(filter: RemoteFilter): MaybePromise<number>;
  /** What it holds: logs of sessions that are over, and the memory that all logs of the process take, in bytes. */
  readonly held: { readonly ended: number; readonly bytes: number };
}
