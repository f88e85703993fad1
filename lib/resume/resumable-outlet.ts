import type { PushResult } from '../connection/backlog.js';
import type { Connection, ConnectionContext, ConnectionOwner } from '../connection/connection.js';
import type { ConnectionEnd } from '../connection/connection-end.js';
import type { Flushable } from '../connection/flush-queue.js';
import type { Outlet } from '../connection/outlet.js';
import type { ResponseStream } from '../connection/response-stream.js';
import type { EncodedEvent } from '../event/encode.js';
import type { ResetReason } from '../event/reset.js';
import type { Position } from '../log/event-log.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { Complete, ResolvedRouteOptions, ResumeOptions } from '../options/options.js';
import { HeadStart } from './head-start.js';
import { LogReader } from './log-reader.js';
import type { SessionDirectory, SessionHost } from './session-directory.js';
import type { LogAddress, SessionLog } from './session-log.js';

/** The session whose connections come and go. */
export interface OutletOwner {
  /** One of them has gone before the session's end; `isLast` when none is left. */
  onDetached(end: ConnectionEnd, error: Error | undefined, isLast: boolean): void;
  /** Somebody reads it on another node, while nobody does here. */
  onReadElsewhere(): void;
  /** After the end: none is left. */
  onAllEnded(): void;
  /** Somebody on another node has ended it. */
  close(): void;
  /** A paused source may go on. */
  onReady(): void;
}

/**
 * The log of a session, and the connections that read it, each at its own pace. What is sent goes into the log; a connection that leaves, or does
 * not read, ends alone.
 */
export class ResumableOutlet implements Outlet, ConnectionOwner, SessionHost, Flushable {
  readonly log: SessionLog;
  /** The newest of those who read; it leads to the others. Most sessions have one, and to find it in an array takes two cache misses an event. */
  #first: LogReader | undefined;
  /** On other nodes. */
  #readersElsewhere = 0;
  /** Of connections that have ended. */
  #eventsSent = 0;
  #bytesSent = 0;
  #isEnding = false;
  /** A client comes, of whom nobody has heard yet. */
  #isArriving = false;
  /** Its headers are out. */
  #opening: LogReader | undefined;
  /** A source waits to be told that it may go on. */
  #wanted = false;
  readonly #limits: Complete<ResumeOptions>;
  readonly #headStart: HeadStart;
  /** Up to here the log may grow before anybody looks at its readers: they had all there was, and none has too much before, but for an id line. */
  #freeUpTo: Position = 0;
  #freeUpToBytes = 0;
  #isFlushing = false;
  /** Who waits until one client has all, which may be one that comes only now. */
  #flushWaiters: Set<(by: Connection) => void> | undefined;

  constructor(
    private readonly owner: OutletOwner,
    private readonly context: ConnectionContext,
    private readonly options: ResolvedRouteOptions,
    private readonly directory: SessionDirectory,
    { id, address, limits }: { id: string; address: LogAddress; limits: Complete<ResumeOptions> },
  ) {
    this.log = directory.open(id, address, limits, this);
    this.#limits = limits;
    this.#headStart = new HeadStart(limits);
  }

  /**
   * One more client: watches its response and sends the headers; {@link start} writes what it has missed.
   * Throws what Node, or an `on-headers` hook, has against them; then the framework can still answer.
   * @returns `false` when it has left already
   */
  receive(response: ResponseStream, after: Position, reset?: ResetReason): boolean {
    const { connection } = this.add(response, after, reset);
    this.#isArriving = true;
    this.attach();
    this.#isArriving = false;
    if (!connection.isWaiting) return false;
    try {
      this.sendHead();
    } catch (error) {
      connection.release();
      this.#remove(connection);
      // it may have cut the others before it failed
      if (!this.#first) this.owner.onDetached('left', undefined, this.connections === 0);
      throw error;
    }
    // what hooks of the head do may have lost it
    return !connection.isClosed;
  }

  /** Takes a response in, which waits for its headers; {@link attach} begins to watch it. */
  add(response: ResponseStream, after: Position, reset?: ResetReason): LogReader {
    const reader = new LogReader(this, this.context, this.options, response, this.log, after, reset);
    reader.next = this.#first;
    this.#first = reader;
    this.#freeUpTo = 0;
    this.#headStart.tell();
    const { connection } = reader;
    for (const settle of this.#flushWaiters ?? []) void connection.flushed().then(() => settle(connection));
    return reader;
  }

  attach(): void {
    this.#first?.connection.attach();
  }

  /** Whether a client that has gone may know how to come back by an id. */
  get isKnown(): boolean {
    return this.#eventsSent > 0;
  }

  get connections(): number {
    return this.#readers.length + this.#readersElsewhere;
  }

  cancel(): void {
    this.owner.close();
  }

  onReadersElsewhere(count: number, reached: Position): void {
    this.#headStart.set({ events: this.log.tail - reached, bytes: this.log.bytesAfter(reached) });
    if (this.#wanted) this.#readOnNextTurn();
    const before = this.#readersElsewhere;
    this.#readersElsewhere = count;
    if (this.#first || this.#isEnding) return;
    if (before === 0 && count > 0) this.owner.onReadElsewhere();
    else if (before > 0 && count === 0) this.owner.onDetached('left', undefined, true);
  }

  get eventsSent(): number {
    return this.#sum((connection) => connection.eventsSent) + this.#eventsSent;
  }

  readonly eventsDropped = 0;

  get bytesSent(): number {
    return this.#sum((connection) => connection.bytesSent) + this.#bytesSent;
  }

  get pendingBytes(): number {
    return this.#sum((connection) => connection.pendingBytes);
  }

  /** The fastest connection sets the pace; while there is none, the log takes what it can without losing anything. */
  get isReady(): boolean {
    if (!this.#first) return this.#headStart.isOpen;
    for (let reader: LogReader | undefined = this.#first; reader; reader = reader.next) if (reader.connection.isReady) return true;
    return false;
  }

  get isWaiting(): boolean {
    return this.#readers.some(({ connection }) => connection.isWaiting);
  }

  get isOpening(): boolean {
    return this.#readers.some(({ connection }) => connection.isOpening);
  }

  readonly isClosed = false;

  get isGone(): boolean {
    return this.#waiting?.connection.isGone ?? false;
  }

  get isAnswered(): boolean {
    return this.#waiting?.connection.isAnswered ?? false;
  }

  push(event: EncodedEvent): PushResult {
    // no client shows a comment, and a `retry:` alone is no event: neither can be missed
    if (!event.committed) {
      for (const { connection } of this.#readers) connection.push(event);
      return 0;
    }
    if (!this.#isFree(event)) return this.#pushToEach(event);
    this.log.append(event);
    this.#flushSoon();
    return 0;
  }

  /** All readers had all there was when they were looked at last, and with this event too none has more waiting than may. */
  #isFree({ byteLength }: EncodedEvent): boolean {
    return this.log.tail < this.#freeUpTo && this.log.appendedBytes + byteLength <= this.#freeUpToBytes;
  }

  #pushToEach(event: EncodedEvent): PushResult {
    this.#writeBeforeToAll(event);
    for (let reader = this.#first; reader; reader = reader.next) {
      // before the headers nothing can leave: it is the handler that sends too much
      if (reader.connection.isWaiting && this.#loses(event, reader)) return 'overflow';
    }
    // a response that failed at that has ended the session
    if (this.log.ending) return 'dropped';
    this.log.append(event);
    if (!this.#first) this.#headStart.onAppended(event.byteLength);
    for (let reader = this.#first; reader; reader = reader.next) {
      if (reader.onAppended()) continue;
      if (reader.connection.isWaiting) return 'overflow';
      reader.connection.overflow();
    }
    if (this.#first) this.#flushSoon();
    return 0;
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.context.flushQueue.add(this);
    this.context.onPushed(0);
  }

  /** At the end of the turn. */
  flush(): void {
    this.#isFlushing = false;
    this.#freeUpTo = 0;
    let reader = this.#first;
    try {
      for (; reader; reader = reader.next) reader.connection.flush();
    } finally {
      // one that throws, as a method that middleware has replaced may, keeps no other from being written
      for (reader = reader?.next; reader; reader = reader.next) this.context.flushQueue.add(reader.connection);
    }
    for (let reader = this.#first; reader; reader = reader.next) if (!reader.isCaughtUp) return;
    if (!this.#first) return;
    this.#freeUpTo = this.log.tail + this.#limits.maxEvents;
    this.#freeUpToBytes = this.log.appendedBytes + Math.min(this.#limits.maxBytes, this.options.buffer.maxBytes);
  }

  tellWhenReady(): void {
    this.#wanted = true;
    for (const { connection } of this.#readers) connection.tellWhenReady();
    if (!this.#first) this.#readOnNextTurn();
  }

  sendHead(): void {
    this.#opening = this.#waiting;
    this.#opening?.connection.sendHead();
  }

  start(openingLines: string): boolean {
    const reader = this.#opening;
    this.#opening = undefined;
    if (!reader || reader.connection.isClosed) return false;
    // before it begins, as it may have no more to write after that
    if (this.#wanted) reader.connection.tellWhenReady();
    return reader.start(openingLines);
  }

  /** One of them has it; or none is there, and the log takes more. */
  flushed(): Promise<void> {
    if (!this.#first) return this.#headStart.room(() => this.#first === undefined && !this.#isEnding);
    return new Promise((resolve) => {
      const waiters = (this.#flushWaiters ??= new Set());
      const settle = ({ isClosed }: Connection): void => {
        // one that has left has nothing
        if (isClosed && this.#first) return;
        waiters.delete(settle);
        resolve();
      };
      waiters.add(settle);
      for (const { connection } of this.#readers) void connection.flushed().then(() => settle(connection));
    });
  }

  end(lastWords: readonly EncodedEvent[], withinMs: number, closesSocket = false): void {
    const logged = lastWords.filter(({ committed }) => committed);
    const saysEnd = this.log.ending?.after === 'stop' && this.options.endEvent !== false;
    for (const event of logged) {
      // a response that fails at this is one less
      this.#writeBeforeToAll(event);
      if (this.log.isClosed) return;
      this.log.append(event, saysEnd && event === logged.at(-1));
    }
    this.#isEnding = true;
    this.#headStart.tell();
    this.log.close();
    const own = lastWords.filter((event) => !logged.includes(event));
    if (!this.#first) this.owner.onAllEnded();
    // one whose response fails at this is gone at once, and the last of them tells the owner
    for (const { connection } of this.#readers) connection.end(own, withinMs, closesSocket);
  }

  destroy(): void {
    this.#letGo((connection) => connection.destroy());
  }

  release(): void {
    this.#letGo((connection) => connection.release());
  }

  check(now: number): void {
    for (const { connection } of this.#readers) connection.check(now);
  }

  onConnectionEnd(connection: Connection, end: ConnectionEnd, error: Error | undefined): void {
    this.#remove(connection);
    if (this.#isArriving) return;
    const isLast = !this.#first;
    if (!this.#isEnding) this.owner.onDetached(end, error, this.connections === 0);
    else if (isLast) this.owner.onAllEnded();
  }

  /** Nobody is attached any more, and the session lives on: a paused source may go on into the log. */
  onDetached(): void {
    if (this.#wanted) this.#readOnNextTurn();
  }

  /** The session is over, and nobody reads it any more. */
  onClosed(): void {
    this.#isEnding = true;
    this.#headStart.tell();
    this.log.close();
    // nobody comes for the rest of what starts anew
    if (this.log.ending?.after === 'restart') this.log.clear();
  }

  /** What becomes of a client that comes back from now on. */
  conclude(reason: CloseReason, reconnect: boolean, at: number): void {
    const after = reconnect ? 'restart' : this.options.afterEnd[reason];
    const reset = reconnect ? undefined : reason === 'client-disconnect' ? 'expired' : 'ended';
    this.directory.end(this.log, { after, reset, at });
  }

  /** Nobody has heard of the session, so that nobody can come back. */
  forget(): void {
    this.directory.forget(this.log);
    // who reads it on another node is sent home
    this.log.close();
  }

  /**
   * There is to be no log: the source brings ids of its own. Only before anything was sent.
   * @returns the response, if its client is still there, for a connection without a log
   */
  giveUpLog(): { readonly stream: ResponseStream; readonly ownLines: EncodedEvent | undefined } | undefined {
    const ownLines = this.#first?.takeOwnLines();
    const stream = this.#first?.response;
    this.forget();
    this.release();
    return stream && { stream, ownLines };
  }

  /** Lets go of a client that has given up before the headers were out, while others wait. */
  abandon(): void {
    this.release();
    this.owner.onDetached('left', undefined, true);
  }

  onReady(): void {
    this.#wanted = false;
    this.owner.onReady();
  }

  get #waiting(): LogReader | undefined {
    return this.#readers.find(({ connection }) => connection.isWaiting);
  }

  /** All of them, as they are now: whoever goes through these may let one go. */
  get #readers(): readonly LogReader[] {
    const readers: LogReader[] = [];
    for (let reader = this.#first; reader; reader = reader.next) readers.push(reader);
    return readers;
  }

  #sum(of: (connection: Connection) => number): number {
    return this.#readers.reduce((sum, { connection }) => sum + of(connection), 0);
  }

  #remove(connection: Connection): void {
    const reader = this.#readers.find((each) => each.connection === connection);
    // its own way to the next one stays, for whoever is at it
    if (reader === this.#first) this.#first = reader?.next;
    else for (const before of this.#readers) if (before.next === reader) before.next = reader?.next;
    if (reader === this.#opening) this.#opening = undefined;
    this.#freeUpTo = 0;
    if (reader) this.#headStart.set(reader.missing);
    this.#eventsSent += connection.eventsSent;
    this.#bytesSent += connection.bytesSent;
  }

  #letGo(how: (connection: Connection) => void): void {
    for (const { connection } of this.#readers) {
      how(connection);
      this.#remove(connection);
    }
  }

  /** What the log would lose by an event leaves first, to whoever takes it: nothing is lost in one large turn. */
  #writeBeforeToAll(event: EncodedEvent): void {
    for (let reader = this.#first; reader; reader = reader.next) if (!reader.hasReadAll) this.#writeBefore(event, reader);
  }

  #writeBefore(event: EncodedEvent, reader: LogReader): void {
    const { connection } = reader;
    for (let before = Infinity; !connection.isBlocked && reader.bytes < before && this.#loses(event, reader);) {
      before = reader.bytes;
      connection.flush(true);
    }
  }

  #loses(event: EncodedEvent, reader: LogReader): boolean {
    return reader.losesBy(event, this.#limits);
  }

  #readOnNextTurn(): void {
    setImmediate(() => {
      this.#headStart.onNextTurn();
      if (!this.#first && this.#wanted && this.#headStart.isOpen) this.onReady();
    });
  }
}
