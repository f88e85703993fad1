import type { ConnectionContext, ConnectionOwner } from '../connection/connection.js';
import type { ResponseStream } from '../connection/response-stream.js';
import type { ResetReason } from '../event/reset.js';
import type { Position } from '../log/event-log.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import { LogReader } from './log-reader.js';
import type { SessionDirectory } from './session-directory.js';
import type { SessionLog } from './session-log.js';

/**
 * A client that reads a log without its session: what it missed of one that is over, or, live, one that runs on another node. It has what
 * there is, or comes back for it, so that nobody else needs to know how it went.
 */
export class LogFollower implements ConnectionOwner {
  readonly #reader: LogReader;
  #stop: (() => void)[] = [];

  constructor(
    response: ResponseStream,
    private readonly log: SessionLog,
    after: Position,
    reset: ResetReason | undefined,
    private readonly options: ResolvedRouteOptions,
    context: ConnectionContext,
  ) {
    this.#reader = new LogReader(this, context, options, response, log, after, reset);
  }

  /**
   * Sends the headers, and then all there is and will be.
   * Throws what Node, or an `on-headers` hook, has against the headers; then the framework can still answer.
   */
  start(openingLines: string, directory: SessionDirectory): void {
    const { connection } = this.#reader;
    connection.attach();
    if (connection.isClosed) return;
    try {
      connection.sendHead();
    } catch (error) {
      connection.release();
      throw error;
    }
    // when it has all, and not before: for as long as it reads, it may take its time
    connection.tellWhenReady();
    this.#reader.start(openingLines);
    if (connection.isClosed || this.log.isClosed) return;
    this.#stop = [this.#follow(), this.log.onClose(() => connection.flush()), directory.read(this.log)];
  }

  onConnectionEnd(): void {
    for (const stop of this.#stop) stop();
    this.#stop = [];
  }

  onReady(): void {
    const { connection, isEmpty } = this.#reader;
    if (!this.log.isClosed || !isEmpty) connection.tellWhenReady();
    else connection.end([], this.options.buffer.stallTimeoutMs);
  }

  #follow(): () => void {
    return this.log.events.follow(() => {
      const { connection } = this.#reader;
      if (this.#reader.onAppended()) connection.flushSoon();
      else connection.overflow();
    });
  }
}
