import type { Sendable } from '../event/sse-event.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { SessionState } from './state.js';

/**
 * What became of an event: `accepted` (it waits for the connection, or has left), `dropped` (it did not fit, see `buffer.overflow`), or
 * `closed` (the session has ended; nothing is ever written after the end).
 */
export type SendResult = 'accepted' | 'dropped' | 'closed';

type AnyData = Record<string, unknown>;

export type OpenCallback<TData extends object = AnyData> = (session: SseSession<TData>) => unknown;
export type CompletionCallback<TData extends object = AnyData> = (session: SseSession<TData>, reason: CloseReason) => unknown;
export type TimeoutCallback<TData extends object = AnyData> = (session: SseSession<TData>) => unknown;
export type ErrorCallback<TData extends object = AnyData> = (session: SseSession<TData>, error: unknown) => unknown;

/** The fields of a session that are plain values. */
export type SessionSummary = Pick<
  SseSession,
  | 'id'
  | 'route'
  | 'state'
  | 'key'
  | 'principal'
  | 'remoteAddress'
  | 'openedAt'
  | 'lastActivityAt'
  | 'expiresAt'
  | 'closeReason'
  | 'connections'
  | 'eventsSent'
  | 'eventsDropped'
  | 'bytesSent'
  | 'pendingBytes'
>;

/**
 * One run of a managed handler: its source, its hooks and the client's connection. Given to a handler by `@CurrentSession()`.
 *
 * An abstract class and not an interface, so that it can stand in a decorated signature.
 */
export abstract class SseSession<TData extends object = AnyData> {
  /** A random UUID; public, fit for logs and URLs. */
  abstract readonly id: string;
  /** What the option `key` gave. */
  abstract readonly key: string | undefined;
  /** What the option `principal` gave. */
  abstract readonly principal: string | undefined;
  /** Where it stands in its life. */
  abstract readonly state: SessionState;
  /** Method and path pattern, such as `GET /chat/:id/stream`. */
  abstract readonly route: string;
  /** The client's address as the application sees it (`request.ip`, so behind `trust proxy` the proxy's word). */
  abstract readonly remoteAddress: string | undefined;
  /** When the headers went out, in epoch milliseconds. */
  abstract readonly openedAt: number | undefined;
  /** When the last event was sent, else when the session opened, else when it was created, in epoch milliseconds. */
  abstract readonly lastActivityAt: number;
  /** When `timeoutMs`, or the end of its authorisation (`authorization.expiresAt`), ends the session, in epoch milliseconds. */
  abstract readonly expiresAt: number | undefined;
  /** Why it ended; `undefined` while it lives. */
  abstract readonly closeReason: CloseReason | undefined;
  /** What failed, or the socket's error when the client left with one. */
  abstract readonly error: unknown;
  /** How many HTTP responses are attached: 0 or 1, with `resume` any number. */
  abstract readonly connections: number;
  /** Events that were handed to the response. */
  abstract readonly eventsSent: number;
  /** Events that did not fit, replaced ones included. */
  abstract readonly eventsDropped: number;
  /** Bytes that were handed to the response, comments and opening lines included. */
  abstract readonly bytesSent: number;
  /** Bytes that wait, in the session and in Node. */
  abstract readonly pendingBytes: number;
  /** The application's own. */
  abstract readonly data: Partial<TData>;
  /** Aborted at every end, also a good one, with a `DOMException` named `AbortError`. Hand it to whatever the source does. */
  abstract readonly signal: AbortSignal;

  /**
   * Sends an event: an `SseEvent`, a plain `{ data, type?, id?, retry?, comment? }` (with `emit: 'event'`), or any other value as the
   * data of one. Before the session is open it waits.
   *
   * @throws SseSessionError `INVALID_EVENT` (with `resume` also for an event with an id of its own) or `SERIALIZATION_FAILED`; the session lives on. Never throws for a session that has ended.
   */
  abstract send(event: Sendable): SendResult;
  /**
   * Sends a comment, which no client shows.
   * @throws SseSessionError `INVALID_EVENT` for something that is no string
   */
  abstract comment(text: string): SendResult;
  /**
   * Resolves when all that was sent has been handed to the kernel. Await it between large sends to go at the client's pace. A session that
   * is still connecting opens at that, as nothing leaves before the headers.
   * @throws SseSessionError (rejects) `SESSION_CLOSED` when the session ends first.
   */
  abstract flushed(): Promise<void>;
  /** Ends the session as `complete`; what waits is still written. */
  abstract complete(): void;
  /**
   * Ends the session as `cancelled`; what waits is still written. With `resume` a client that comes back by itself is stopped, unless it is to `reconnect`: then
   * it starts anew.
   */
  abstract close(options?: { reconnect?: boolean }): void;

  /** Called once the headers are out; at once when they are. */
  abstract onOpen(callback: OpenCallback<TData>): void;
  /** Called once at the end, whichever it is; at once when it has been. */
  abstract onCompletion(callback: CompletionCallback<TData>): void;
  /** Called before `onCompletion` when the session ends by `timeoutMs` or `idleTimeoutMs`. */
  abstract onTimeout(callback: TimeoutCallback<TData>): void;
  /** Called before `onCompletion` when the session ends as `error`, `slow-client` or `dead-peer`. */
  abstract onError(callback: ErrorCallback<TData>): void;

  /** What may be shown of a session, for logs and for JSON: neither its `data` and `error`, which are the application's, nor anything inside. */
  toJSON(): SessionSummary {
    const { id, route, state, key, principal, remoteAddress, openedAt, lastActivityAt, expiresAt, closeReason } = this;
    const { connections, eventsSent, eventsDropped, bytesSent, pendingBytes } = this;
    const known = { id, route, state, key, principal, remoteAddress, openedAt, lastActivityAt, expiresAt, closeReason };
    return { ...known, connections, eventsSent, eventsDropped, bytesSent, pendingBytes };
  }

  /** As `console.log` and Node's `util.inspect` show it (`util.inspect.custom`). */
  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { SseSession: this.toJSON() };
  }
}
