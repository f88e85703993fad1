import type { Observable } from 'rxjs';
import type { Channel, ChannelStream, ChannelStreamOptions } from '../channel/channel.js';
import type { Sendable } from '../event/sse-event.js';
import type { CleanupReport } from '../session/cleanup.js';
import type { SessionEvent } from '../session/session-registry.js';
import type { SendResult, SseSession } from '../session/sse-session.js';
import type { SessionFilter } from './filter.js';
import type { SessionStats } from './stats.js';

/**
 * All the sessions of the application, to be injected into any provider.
 *
 * An abstract class, so that a test can provide a plain object in its place.
 */
export abstract class SessionManager implements Iterable<SseSession> {
  /** What happens to sessions, as it happens. A hot Observable that completes when the application has stopped. */
  abstract readonly events$: Observable<SessionEvent>;
  /** How many sessions live in this process, connecting and closing ones included. */
  abstract readonly size: number;

  /** A live session by its id. */
  abstract get(id: string): SseSession | undefined;
  /** Whether a session of this id lives. */
  abstract has(id: string): boolean;
  /** Over the live sessions; one that ends meanwhile is left out. */
  abstract [Symbol.iterator](): IterableIterator<SseSession>;
  /**
   * The live sessions that match.
   * @throws SseSessionError `INVALID_FILTER`
   */
  abstract find(filter: SessionFilter): SseSession[];
  /** Sends to one session; an unknown or ended one is `'closed'`. Throws as {@link SseSession.send} does. */
  abstract send(id: string, event: Sendable): SendResult;
  /**
   * Sends to all sessions, or to those that match. An event that can't be sent to all of them is sent to none.
   * @returns how many sessions took it
   * @throws SseSessionError `INVALID_EVENT`, `SERIALIZATION_FAILED` or `INVALID_FILTER`, before anybody has it
   */
  abstract broadcast(event: Sendable, filter?: SessionFilter): number;
  /**
   * A channel by its name, a string of 1 to 256 characters; it need not be made, and takes no memory of its own.
   * @throws SseSessionError `INVALID_CHANNEL`
   */
  abstract channel<T = unknown>(name: string): Channel<T>;
  /**
   * The events of several channels in the order in which they were published, for a handler to return; one `Last-Event-ID` resumes them all.
   * @throws SseSessionError `INVALID_CHANNEL` for no name or a bad one, or options that it does not know
   */
  abstract stream(names: readonly string[], options?: ChannelStreamOptions): ChannelStream;
  /** What there is now and what was counted since the start. */
  abstract stats(): SessionStats;
  /** Runs the cleanup job now. */
  abstract cleanup(): CleanupReport;
  /** Ends a session as `cancelled`. Resolves to `true` the first time, `false` for an unknown or ended one. */
  abstract cancel(id: string): Promise<boolean>;
  /**
   * Ends the sessions that match as `cancelled`.
   * @returns how many it ended
   * @throws SseSessionError (rejects) `INVALID_FILTER`
   */
  abstract cancelAll(filter: SessionFilter): Promise<number>;
}
