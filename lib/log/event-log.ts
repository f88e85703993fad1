/** The answer of an engine: at once from memory, later from another process. */
export type MaybePromise<T> = T | Promise<T>;

/** Where an event stands in its log: 1, 2, 3, ... without holes. 0 is before the first. */
export type Position = number;

/** What a log keeps of an event, whoever else holds it too: logs share events, they do not copy them. */
export interface Loggable {
  /** On the wire, without its id line. */
  readonly byteLength: number;
  /** What it is about, in a log of many topics. */
  readonly topic?: string;
}

/** How much a log keeps. The oldest events are trimmed, never the newest. */
export interface LogLimits {
  readonly maxEvents?: number;
  /** Of the events on the wire, in bytes. An event that alone is larger is kept until the next. */
  readonly maxBytes: number;
  /** Milliseconds. */
  readonly maxAgeMs?: number;
}

/** A part of a log, in order and without holes. */
export interface LogPage<E> {
  readonly events: readonly E[];
  /** Where the last of them stands; without any, where the log was asked to read after. */
  readonly reached: Position;
  /** The log no longer has all that follows the position which it was asked to read after: the page begins with the oldest that it has. */
  readonly isTrimmed: boolean;
}

/**
 * An append-only log of events that keeps the newest of them. One of the two ports for storage; every engine passes the same contract tests
 * (`test/support/event-log-contract.ts`).
 *
 * The log of a session has one writer, the node on which it runs, so that an engine knows its positions at once. That of the channels has
 * many.
 */
export interface EventLog<E extends Loggable> {
  /** Names this log: positions in logs of different epochs cannot be compared. */
  readonly epoch: string;
  /** How many events this process holds for it, and their bytes on the wire. */
  readonly size: number;
  readonly bytes: number;
  /** Adds an event, and trims what exceeds the limits: number, bytes and age. */
  append(event: E): MaybePromise<Position>;
  /**
   * The events after a position, up to `maxBytes` of them, but one at least if there is one. A position in the future has none.
   */
  read(after: Position, maxBytes: number): MaybePromise<LogPage<E>>;
  /** Where the newest event stands, trimmed or not; 0 when there never was one. */
  tail(): MaybePromise<Position>;
  /** Where to read after to get the last `count` events of these topics, or all that it has of them if those are fewer. */
  positionBefore(topics: Iterable<string>, count: number): MaybePromise<Position>;
  /** Trims what is older than `maxAgeMs`, also when nothing is appended any more. */
  trim(): void;
  /**
   * A position after which no event (of a topic) was trimmed. Exact for the topics that were trimmed last; for others it may be too high,
   * never too low. Always before the oldest event that it has.
   */
  trimmedUpTo(topic?: string): MaybePromise<Position>;
  /**
   * Calls a listener with every event that is appended from now on, in order, also when listeners append in turn. Returns what ends that.
   */
  follow(listener: (event: E, position: Position) => void): () => void;
}

/** A log that this process holds, so that what it is asked it answers at once. That of a session is one where the session runs. */
export interface HeldLog<E extends Loggable> extends EventLog<E> {
  append(event: E): Position;
  read(after: Position, maxBytes: number): LogPage<E>;
  tail(): Position;
  trimmedUpTo(topic?: string): Position;
  /** The event at a position; absent when it was trimmed, or has not been yet. */
  at(position: Position): E | undefined;
  /** Trims the oldest event, whatever the limits: somebody needs its memory. */
  dropOldest(): void;
  /** Gives back all that it holds: nobody will read it any more. */
  clear(): void;
}
