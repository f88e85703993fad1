import { Connection, type ConnectionContext, type ConnectionOwner } from '../connection/connection.js';
import type { ResponseStream } from '../connection/response-stream.js';
import type { ResetReason } from '../event/reset.js';
import type { Position } from '../log/event-log.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import { LogBacklog } from './log-backlog.js';
import type { SessionLog } from './session-log.js';

/** Who is cut sooner than this, in milliseconds, may not have got what was handed over. */
const ARRIVES_WITHIN_MS = 10_000;

/**
 * A client that reads a log, from the position that it has: the connection, and what waits for it, of which that is fed. One object and not two,
 * as an event of a fan-out finds neither in a cache: 1 to 2 % of its CPU.
 */
export class LogReader extends LogBacklog {
  readonly connection: Connection;
  /** Who else reads it, if anybody does; kept by whoever keeps the readers. */
  next: LogReader | undefined;
  readonly #since: number;

  constructor(
    owner: ConnectionOwner,
    private readonly context: ConnectionContext,
    options: ResolvedRouteOptions,
    readonly response: ResponseStream,
    log: SessionLog,
    private readonly after: Position,
    reset?: ResetReason,
  ) {
    super(log, after, options.buffer, reset);
    this.#since = context.wheel.clock.now();
    this.connection = new Connection(owner, context, options, response, this);
  }

  /** What of the log its client may not have: what it was given has arrived, if it was there for long enough. */
  get missing(): { readonly events: number; readonly bytes: number } {
    if (this.context.wheel.clock.now() - this.#since >= ARRIVES_WITHIN_MS) return this.unread;
    return { events: this.log.tail - this.after, bytes: this.log.bytesAfter(this.after) };
  }

  /** Its headers are out, and nothing waits for it. */
  get isCaughtUp(): boolean {
    return this.isEmpty && !this.connection.isWaiting;
  }

  /** Writes the opening lines, what it has missed, and from then on what comes. */
  start(openingLines: string): boolean {
    return this.connection.start(openingLines + this.idLine);
  }

  /**
   * The log has one event more.
   * @returns `false` when more waits than may, as the client does not read
   */
  onAppended(): boolean {
    const { isTooMuch } = this;
    this.connection.onFed(isTooMuch);
    return !isTooMuch || !this.isTooMuch;
  }
}
