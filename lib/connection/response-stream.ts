/** What a connection hears of its response. */
export interface ResponseListener {
  /** The response takes more. */
  onDrain(): void;
  /**
   * The response is over, once: everything was handed to the kernel (`finished`), or the client has gone (with the socket's error, if
   * there was one).
   */
  onClose(finished: boolean, error: Error | undefined): void;
}

/** A response as a connection sees it: a socket underneath, or memory in tests. */
export interface ResponseStream {
  /** Bytes that were written and not yet handed to the kernel. */
  readonly writableLength: number;
  /** The client has gone, also when nobody has heard of it yet. */
  readonly isGone: boolean;
  /** Somebody else has answered already. */
  readonly isTaken: boolean;
  /** From here on `listener` hears of the end, at once if it has been. */
  listen(listener: ResponseListener): void;
  /** Sends the headers. */
  open(): void;
  /** Returns `false` when the response takes no more before {@link ResponseListener.onDrain}. */
  write(chunk: string | Buffer): boolean;
  /** Ends the response when all is written. */
  end(): void;
  /** Cuts the connection at once. */
  destroy(): void;
  /** Stops listening and leaves the response to others. */
  release(): void;
}
