import type { EncodedEvent } from '../event/encode.js';

/**
 * The most bytes of one write to a response, its chunk framing counted: Node tells of a write only when all of it has left, so the
 * movement of a slow reader shows in steps of this size.
 */
export const MAX_WRITE_BYTES = 64 * 1024 - 16;

/** A piece to write, and how many events leave with it. */
export interface Slice {
  readonly chunk: string | Buffer;
  readonly byteLength: number;
  readonly events: number;
  /** Nobody else is written the same: not worth a look whether the last one was. */
  readonly isUnique?: boolean;
}

/** What became of a pushed event: taken, with so many others dropped for it; refused; or more than the policy allows. */
export type PushResult = number | 'dropped' | 'overflow';

/** What waits for one connection, in order: a queue of its own, or what a log has that it has not read. */
export interface Backlog {
  /** Bytes that wait. */
  readonly bytes: number;
  /** Of these, those that are there for this connection alone. */
  readonly ownBytes: number;
  readonly isEmpty: boolean;
  /** Whether there is room; for one event there always is when nothing waits before it. */
  fits(event: EncodedEvent): boolean;
  push(event: EncodedEvent): PushResult;
  /** Appends beyond all limits: the library's own last words, which are few and small. */
  force(event: EncodedEvent): void;
  /** Hands out at most {@link MAX_WRITE_BYTES}: whole events joined, or a slice of one that is larger. */
  take(): Slice | undefined;
  /** Lets go of all that waits: nobody will take it. */
  discard(): void;
}
