import type { TcpEndpoints } from '../liveness/tcp-table.js';

/** What a connection hears of its response. */
export interface ResponseListener {
  /** The response takes more. */
  onDrain(): void;
  /**
   * The response is over, once: everything was handed to the kernel (`finished`), or the client has gone (with the socket's error, if
   * there was one).
   */
  onClose(finished: boolean, error: Error | undefined): void;
  /** The client has not answered for so long that it is taken for dead. */
  onDeadPeer(): void;
}

/** A response as a connection sees it: a socket underneath, or memory in tests. */
export interface ResponseStream {
  /** Bytes that were written and not yet handed to the kernel. */
  readonly writableLength: number;
  /**
   * What the client has acknowledged on its connection, in bytes, when the kernel says that so much is unacknowledged; `undefined` when that says
   * nothing of this response. Comparable with earlier values only.
   */
  acknowledgedBytes(unacknowledgedBytes: number): number | undefined;
  /** Whether it has a TCP connection to itself: HTTP/1.1, and nothing that lives in memory. */
  readonly isTcp: boolean;
  /** The client's port, which is had more cheaply than the {@link endpoints}. */
  readonly remotePort: number | undefined;
  /** Both ends of its connection; absent when it is gone. */
  readonly endpoints: TcpEndpoints | undefined;
  /** The client has gone, also when nobody has heard of it yet. */
  readonly isGone: boolean;
  /** Somebody else has answered already. */
  readonly isAnswered: boolean;
  /**
   * From here on `listener` hears of the end, at once if it has been.
   * @param deadPeerTimeoutMs how long the client may leave a question of the transport's unanswered; `false` when it is not asked
   */
  listen(listener: ResponseListener, deadPeerTimeoutMs: number | false): void;
  /** Sends the headers. */
  open(): void;
  /**
   * Returns `false` when the response takes no more before {@link ResponseListener.onDrain}.
   * @param byteLength of the chunk in UTF-8
   * @param more follows in the same turn of the event loop, so that it may wait for that
   * @param isUnique no other response is written the same
   */
  write(chunk: string | Buffer, byteLength: number, more: boolean, isUnique: boolean): boolean;
  /** Ends the response when all is written, and then perhaps the connection, which a client would keep alive. */
  end(closesSocket: boolean): void;
  /** Cuts the connection at once. */
  destroy(): void;
  /** Stops listening and leaves the response to others. */
  release(): void;
}
