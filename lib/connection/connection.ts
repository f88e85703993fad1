import { Alarm, type TimerWheel } from '../clock/timer-wheel.js';
import { type EncodedEvent, encodeComment } from '../event/encode.js';
import type { Peer } from '../liveness/dead-peer-probe.js';
import type { TcpLookUp } from '../liveness/tcp-look-up.js';
import type { TcpEndpoints } from '../liveness/tcp-table.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import { type Backlog, MAX_WRITE_BYTES, type PushResult } from './backlog.js';
import type { ConnectionEnd } from './connection-end.js';
import type { Flushable, FlushQueue } from './flush-queue.js';
import { Movement } from './movement.js';
import { Outbox } from './outbox.js';
import type { Outlet } from './outlet.js';
import type { ResponseListener, ResponseStream } from './response-stream.js';

/** Whom a connection belongs to: a session, or who keeps several for one. */
export interface ConnectionOwner {
  /** Called once, when the response is over. */
  onConnectionEnd(connection: Connection, end: ConnectionEnd, error: Error | undefined): void;
  /** The connection takes more after it did not: a paused source may go on. */
  onReady(): void;
}

/** What all connections of an application share. */
export interface ConnectionContext {
  readonly wheel: TimerWheel;
  readonly flushQueue: FlushQueue;
  /** A connection begins to hold something. */
  onAttached(connection: Connection): void;
  /** More waits, in the outbox of a connection by so many bytes, or in a log: time to look at what there is in all. */
  onPushed(bytes: number): void;
  /** So many bytes were handed to Node. */
  onWritten(bytes: number): void;
  readonly lookUp: TcpLookUp;
  onClosed(connection: Connection): void;
}

/**
 *   waiting --sendHead()--> opening --> open --end()--> ending --all written--> ended --> closed
 *      |                                  |                |                      |         ^
 *      +----------------------------------+----------------+-- the client leaves -+---------+
 */
type ConnectionState = 'waiting' | 'opening' | 'open' | 'ending' | 'ended' | 'closed';

const NEW_BLOCK = '\n';

/** Heartbeats are the same for all sessions of a route. */
const comments = new WeakMap<object, EncodedEvent>();

function commentOf(heartbeat: { readonly comment: string }): EncodedEvent {
  const known = comments.get(heartbeat);
  if (known) return known;
  const comment = encodeComment(heartbeat.comment);
  comments.set(heartbeat, comment);
  return comment;
}

/** Turns of the event loop in which `flushed()` looks at once whether all has left. */
const PROMPT_TURNS = 50;

/**
 * One HTTP response that is attached to a session: what waits for it, when it is written, its heartbeat, and when it has stalled.
 * It ends by itself and tells its owner; it knows nothing of the session's reasons.
 */
export class Connection extends Alarm implements Outlet, ResponseListener, Flushable, Peer {
  eventsSent = 0;
  eventsDropped = 0;
  bytesSent = 0;

  #state: ConnectionState = 'waiting';
  /** One that its owner fills; else an outbox, while something waits in it. */
  #backlog: Backlog | undefined;
  /** The response takes no more until it drains. */
  #blocked = false;
  #flushing = false;
  #isWriting = false;
  /** While it is waiting, one event is enough: nothing more is pulled for a stream that may never open. */
  #hasEvent = false;
  /** A source waits to be told that the connection takes more. */
  #wanted = false;
  #lastWriteAt = 0;
  /** By when the end must be written. Not Infinity till then: V8 gives each field that ever holds such a number 16 bytes of its own. */
  #endBy: number | undefined;
  #closesSocket = false;
  /** While something waits. */
  #movement: Movement | undefined;
  #isLooking = false;
  #flushWaiters: (() => void)[] | undefined;

  constructor(
    private readonly owner: ConnectionOwner,
    private readonly context: ConnectionContext,
    private readonly options: Pick<ResolvedRouteOptions, 'heartbeat' | 'buffer' | 'deadPeer'>,
    private readonly response: ResponseStream,
    /** That its owner fills; without it what is pushed waits in an outbox. */
    private readonly feed?: Backlog,
  ) {
    super();
    this.#backlog = feed;
  }

  get connections(): number {
    return this.#state === 'closed' ? 0 : 1;
  }

  /** Begins to watch the response; the owner hears at once of a client that has gone already. */
  attach(): void {
    this.context.onAttached(this);
    this.response.listen(this, this.#deadPeerTimeoutMs);
  }

  /** Ours and what Node still holds, in bytes. */
  get pendingBytes(): number {
    return this.#waitingBytes + this.bytesInNode;
  }

  /** What would be free if it were not there, in bytes. */
  get heldBytes(): number {
    return (this.#backlog ? this.#backlog.ownBytes : 0) + this.bytesInNode;
  }

  get #waitingBytes(): number {
    return this.#backlog ? this.#backlog.bytes : 0;
  }

  get bytesInNode(): number {
    return this.#state === 'waiting' || this.#state === 'closed' ? 0 : this.response.writableLength;
  }

  /** The response takes no more at present. */
  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** For the probe of the kernel's tables, which knows TCP connections of our own only. */
  get deadPeerTimeoutMs(): number | false {
    return this.response.isTcp && this.#deadPeerTimeoutMs;
  }

  get #deadPeerTimeoutMs(): number | false {
    return this.options.deadPeer && this.options.deadPeer.timeoutMs;
  }

  get endpoints(): TcpEndpoints | undefined {
    return this.response.endpoints;
  }

  get remotePort(): number | undefined {
    return this.response.remotePort;
  }

  acknowledgedBytes(unacknowledgedBytes: number): number | undefined {
    return this.response.acknowledgedBytes(unacknowledgedBytes);
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Something waits that could be written. */
  get #hasBacklog(): boolean {
    return this.#backlog !== undefined && !this.#backlog.isEmpty;
  }

  get isReady(): boolean {
    if (this.#state === 'waiting') return !this.#hasEvent;
    return !this.#blocked && this.#waitingBytes < MAX_WRITE_BYTES;
  }

  tellWhenReady(): void {
    this.#wanted = true;
  }

  sendHead(): void {
    this.#state = 'opening';
    try {
      this.response.open();
    } catch (error) {
      this.#state = 'waiting';
      throw error;
    }
    // what hooks of the head do may have closed it
    if (this.#state === 'opening') this.#state = 'open';
  }

  start(openingLines: string): boolean {
    this.#lastWriteAt = this.context.wheel.clock.now();
    // a number in ASCII: as many bytes as characters
    if (openingLines) this.#write(openingLines, openingLines.length);
    this.flush();
    // a response may fail at its first write
    if (this.isClosed) return false;
    this.context.wheel.set(this, this.#nextDeadline(this.#lastWriteAt));
    return true;
  }

  get isWaiting(): boolean {
    return this.#state === 'waiting';
  }

  get isOpening(): boolean {
    return this.#state === 'opening';
  }

  get isGone(): boolean {
    return this.response.isGone;
  }

  get isAnswered(): boolean {
    return this.response.isAnswered;
  }

  push(event: EncodedEvent): PushResult {
    // what the response still takes need not wait: nothing is lost in one large turn, and a paused source never overflows
    if (this.#backlog && !this.#blocked && !this.#backlog.fits(event)) {
      this.flush(true);
      // that may have ended it: the response failed, or middleware on it has ended the session
      if (this.#state !== 'open' && this.#state !== 'waiting' && this.#state !== 'opening') return 'dropped';
    }
    const result = this.#openBacklog().push(event);
    this.#hasEvent ||= event.committed;
    if (typeof result === 'number') {
      this.eventsDropped += result;
      this.#scheduleFlush();
      this.context.onPushed(event.byteLength);
    } else if (event.committed) {
      this.eventsDropped++;
    }
    return result;
  }

  /** There is more in the backlog that its owner fills, and flushes at the end of the turn; what is more than may wait leaves now. */
  onFed(isTooMuch: boolean): void {
    this.#hasEvent = true;
    if (isTooMuch && !this.#blocked) this.flush(true);
  }

  /** Writes at the end of the turn what its owner has filled its backlog with. */
  flushSoon(): void {
    this.#scheduleFlush();
    this.context.onPushed(0);
  }

  /** The client does not read, and what waits for it is more than may. */
  overflow(): void {
    this.#cut('overflowed');
  }

  end(lastWords: readonly EncodedEvent[], withinMs: number, closesSocket = false): void {
    if (this.#state !== 'open') return;
    this.#closesSocket = closesSocket;
    for (const event of lastWords) this.#openBacklog().force(event);
    this.#state = 'ending';
    const now = this.context.wheel.clock.now();
    const endBy = now + withinMs;
    this.#endBy = endBy;
    this.context.wheel.set(this, endBy);
    this.flush();
  }

  destroy(): void {
    if (this.#state === 'closed') return;
    this.#close();
    this.response.destroy();
  }

  release(): void {
    if (this.#state === 'closed') return;
    this.#close();
    this.response.release();
  }

  flushed(): Promise<void> {
    this.flush();
    if (this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => {
      (this.#flushWaiters ??= []).push(resolve);
      this.#settleFlushWaitersSoon(PROMPT_TURNS);
    });
  }

  /** @param more is being pushed in this turn */
  flush(more = false): void {
    this.#flushing = false;
    if (this.#state !== 'open' && this.#state !== 'ending') return;
    // middleware on the response may have come back here from inside a write: nothing overtakes that
    if (this.#isWriting) return this.#scheduleFlush();
    const slice = this.#blocked ? undefined : this.#backlog?.take();
    if (slice) {
      if (!this.#hasBacklog) this.#backlog = this.feed;
      this.eventsSent += slice.events;
      this.#write(slice.chunk, slice.byteLength, more, slice.isUnique);
    }
    // one slice a tick: what is written in one tick leaves in one write of the socket
    if (this.#hasBacklog) {
      if (slice) this.#scheduleFlush();
    } else if (this.#state === 'ending') this.#finish();
    else if (this.#wanted && !this.#blocked) this.#tellReady();
  }

  onDrain(): void {
    this.#blocked = false;
    this.#movement = undefined;
    this.#settleFlushWaiters();
    this.flush();
    const { heartbeat } = this.options;
    if (heartbeat && this.#state === 'open') this.context.wheel.setNoLaterThan(this, this.#lastWriteAt + heartbeat.intervalMs);
  }

  onClose(finished: boolean, error: Error | undefined): void {
    if (this.#state === 'closed') return;
    this.#close();
    this.owner.onConnectionEnd(this, finished ? 'finished' : 'left', error);
  }

  onDeadPeer(): void {
    this.#cut('dead');
  }

  onUnheardLeave(): void {
    this.#cut('left');
  }

  /** Makes room for others: more waits here than anywhere else. */
  crowdOut(): void {
    this.#cut('crowded-out');
  }

  check(now: number): void {
    if (this.response.isGone) this.#cut('left');
    else if (this.#endBy !== undefined && now >= this.#endBy) this.#cut('stalled');
    else if (this.#stillness(now) >= (this.#movement?.lookAfterMs ?? Infinity)) void this.#look();
  }

  onAlarm(now: number): number {
    this.check(now);
    if (this.#state !== 'open') return this.#state === 'closed' ? Infinity : (this.#endBy ?? Infinity);
    this.#settleFlushWaiters();
    const { heartbeat } = this.options;
    if (heartbeat && !this.#blocked && !this.#hasBacklog && now >= this.#lastWriteAt + heartbeat.intervalMs) {
      const { text, byteLength } = commentOf(heartbeat);
      this.#write(text, byteLength);
    }
    return this.#nextDeadline(now);
  }

  #nextDeadline(now: number): number {
    const { heartbeat } = this.options;
    const heartbeatAt = heartbeat && !this.#blocked ? Math.max(this.#lastWriteAt + heartbeat.intervalMs, now + 1) : Infinity;
    const stillAt = this.#isLooking ? Infinity : this.#lookAt(now);
    const flushedAt = this.#flushWaiters && !this.#blocked ? now + 1 : Infinity;
    return Math.min(heartbeatAt, Math.max(stillAt, now + 1), flushedAt);
  }

  /** For how long nothing has moved although something waits, in milliseconds. */
  #stillness(now: number): number {
    if (this.#state !== 'open') return 0;
    if (this.pendingBytes === 0) {
      this.#movement = undefined;
      return 0;
    }
    this.#movement ??= new Movement(this.options.buffer.stallTimeoutMs);
    return this.#movement.stillness(now, this.bytesSent - this.response.writableLength);
  }

  /** When that is looked at next: what waits may have been written without a word. */
  #lookAt(now: number): number {
    return this.#movement ? this.#movement.lookAt(now) : now + Movement.firstLookAfterMs(this.options.buffer.stallTimeoutMs);
  }

  /** Asks the kernel whether the client takes what it holds, which Node does not see; and lets the event loop turn, in case it was blocked. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const socket = await this.context.lookUp.find(this.response.endpoints);
    this.#isLooking = false;
    if (this.#state !== 'open') return;
    const now = this.context.wheel.clock.now();
    this.#movement?.onLook(now, socket && this.response.acknowledgedBytes(socket.unacknowledgedBytes));
    if (this.response.isGone) this.#cut('left');
    else if (this.#stillness(now) >= this.options.buffer.stallTimeoutMs) this.#cut('stalled');
    else this.context.wheel.set(this, this.#nextDeadline(now));
  }

  #cut(end: ConnectionEnd): void {
    if (this.#state === 'closed') return;
    // before the headers somebody else can still answer
    if (this.#state === 'waiting') this.release();
    else this.destroy();
    this.owner.onConnectionEnd(this, end, undefined);
  }

  #openBacklog(): Backlog {
    const { maxBytes, overflow } = this.options.buffer;
    return (this.#backlog ??= new Outbox(maxBytes, overflow));
  }

  #scheduleFlush(): void {
    if (this.#flushing || this.#blocked || (this.#state !== 'open' && this.#state !== 'ending')) return;
    this.#flushing = true;
    this.context.flushQueue.add(this);
  }

  #write(chunk: string | Buffer, byteLength: number, more = false, isUnique = false): void {
    const now = this.context.wheel.clock.now();
    this.bytesSent += byteLength;
    this.#lastWriteAt = now;
    this.context.onWritten(byteLength);
    if (this.#handOver(chunk, byteLength, more, isUnique)) return;
    this.#blocked = true;
    if (this.#state !== 'open') return;
    this.#stillness(now);
    this.context.wheel.setNoLaterThan(this, this.#lookAt(now));
  }

  #handOver(chunk: string | Buffer, byteLength: number, more: boolean, isUnique: boolean): boolean {
    this.#isWriting = true;
    try {
      return this.response.write(chunk, byteLength, more, isUnique);
    } catch (error) {
      return this.#fail(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Node's own responses throw at neither write() nor end(), but middleware may have replaced them. */
  #fail(error: unknown): false {
    this.onClose(false, error as Error);
    this.response.destroy();
    return false;
  }

  #finish(): void {
    this.#state = 'ended';
    // the opening lines stand in a block that no event has closed
    if (this.eventsSent === 0 && this.bytesSent > 0) this.#write(NEW_BLOCK, NEW_BLOCK.length);
    try {
      this.response.end(this.#closesSocket);
    } catch (error) {
      this.#fail(error);
    }
  }

  #tellReady(): void {
    this.#wanted = false;
    // a macrotask later, so that a source that never waits can't keep the event loop for itself
    setImmediate(() => {
      if (this.#state !== 'closed') this.owner.onReady();
    });
  }

  /** Below the high-water mark Node tells nobody that it has written: a client that reads has it all within a few turns, another is looked at by the alarm. */
  #settleFlushWaitersSoon(turns: number): void {
    setImmediate(() => {
      this.#settleFlushWaiters();
      if (this.#flushWaiters && turns > 1) this.#settleFlushWaitersSoon(turns - 1);
    });
  }

  #settleFlushWaiters(): void {
    if (!this.#flushWaiters) return;
    if (this.#state !== 'closed' && (this.#state === 'waiting' || this.pendingBytes > 0)) {
      if (!this.#blocked) this.context.wheel.setNoLaterThan(this, this.context.wheel.clock.now() + 1);
      return;
    }
    const waiters = this.#flushWaiters;
    this.#flushWaiters = undefined;
    for (const resolve of waiters) resolve();
  }

  #close(): void {
    this.#state = 'closed';
    this.#backlog?.discard();
    this.#backlog = undefined;
    this.context.wheel.cancel(this);
    this.#settleFlushWaiters();
    this.context.onClosed(this);
  }
}
