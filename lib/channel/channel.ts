import type { Observable } from 'rxjs';
import type { SseEvent, SseEventInit } from '../event/sse-event.js';

/** Where a stream of channels begins. */
export interface ChannelStreamOptions {
  /**
   * The id of the last event that the client has, as `@LastEventId()` gives it, or what `position()` gave: all that was published since
   * comes first. `undefined` (and an empty string, which is no id) is a client that has none: it begins now, or with `replay`.
   */
  after?: string | undefined;
  /**
   * Without `after`: begin with the last so many events of these channels, 1 or more, as far as the log still has them. Default: with none.
   */
  replay?: number | undefined;
}

/**
 * The events of channels, each with its id; it never completes. A handler that returns it as it is has it read at the client's pace: what a
 * slow client has not taken waits in the log, and never overflows its buffer. Piped through operators it emits as fast as it can.
 *
 * When events of these channels may have been lost after the client's position, one event of type `reset` comes first, with data
 * `{"reason": "trimmed" | "unknown" | "future" | "malformed"}`, then what the log still has of them.
 */
export type ChannelStream = Observable<SseEvent>;

/** A named feed that any part of the application publishes to, and any session reads: `sessions.channel(name)`. */
export interface Channel<T = unknown> {
  readonly name: string;
  /** How many streams of this process read it now. */
  readonly size: number;
  /**
   * Publishes an event to all who read the channel now, and to those who come back while the log has it. It is read as with `emit: 'event'`
   * and encoded once.
   * @returns the id of the event, `<epoch>:<offset>`
   * @throws SseSessionError (rejects, before anybody has it) `INVALID_EVENT`, also for an event with an id of its own or without data;
   * `SERIALIZATION_FAILED`
   */
  publish(event: T | SseEvent | Omit<SseEventInit<T>, 'id'>): Promise<string>;
  /**
   * Its events, for a handler to return. Every subscription reads on its own.
   * @throws SseSessionError `INVALID_CHANNEL` for options that it does not know
   */
  stream(options?: ChannelStreamOptions): ChannelStream;
  /**
   * The id to begin after when a snapshot is sent first: ask for it before the snapshot is taken, and what is published meanwhile is not
   * missed.
   */
  position(): Promise<string>;
}
