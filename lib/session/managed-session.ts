import { AsyncResource } from 'node:async_hooks';
import type { Observable } from 'rxjs';
import { Alarm } from '../clock/timer-wheel.js';
import type { ConnectionEnd } from '../connection/connection-end.js';
import { Connection, type ConnectionOwner } from '../connection/connection.js';
import type { Outlet } from '../connection/outlet.js';
import type { ResponseStream } from '../connection/response-stream.js';
import { SseSessionError, describeError, stackOf } from '../errors.js';
import { type EncodedEvent, encodeComment } from '../event/encode.js';
import { isHttpException } from '../options/error-message.js';
import { readEvent } from '../event/read-event.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { Position } from '../log/event-log.js';
import type { SessionLog } from '../resume/session-log.js';
import { type OutletOwner, ResumableOutlet } from '../resume/resumable-outlet.js';
import type { ResetReason } from '../event/reset.js';
import { PacedSource } from '../source/paced-source.js';
import type { SseSource } from '../source/sse-source.js';
import { IdentifiedSession } from './identified-session.js';
import { lastEvents } from './last-events.js';
import { Lifetime } from './lifetime.js';
import {
  abandoned,
  abortReason,
  answeredElsewhere,
  endedBeforeFlush,
  lossOf,
  overflowed,
  ownId,
  refusedValue,
  slowClient,
} from './session-errors.js';
import { retryLine } from './retry-line.js';
import { Revalidation } from './revalidation.js';
import { runHooks } from './session-hooks.js';
import { SourceRun, type SourceReader } from './source-run.js';
import type { SessionContext, SessionIdentity } from './session-context.js';
import type { SendResult } from './sse-session.js';
import { type SessionState, afterConnectionEnd, canGo, hooksOf, isAbrupt, opensFirst, reasonOf } from './state.js';

/** How a client comes to a session that there is already. */
export interface Attachment {
  /** What it has. */
  readonly after: Position;
  /** Why it may have missed something. */
  readonly reset: ResetReason | undefined;
  /** When its authorisation ends, in epoch milliseconds. */
  readonly authorizedUntil: number | undefined;
}

/** What goes out with the end of a session. */
export interface LastWords {
  /** Written before what waits: it takes effect line by line. */
  readonly retry?: EncodedEvent;
  /** Its clients are to come back, and start anew. */
  readonly reconnect?: boolean;
}

/** Who waits for a session to open: called once, when it is open, has lost its client or has ended before. */
export type SettledListener = (session: ManagedSession) => void;

/** On its own, as the session extends a class already. */
class SessionAlarm extends Alarm {
  constructor(private readonly session: ManagedSession) {
    super();
  }

  onAlarm(now: number): number {
    return this.session.onAlarm(now);
  }
}

/**
 * The one implementation of {@link SseSession}: the state, the timers, the source, the hooks and the connection of one run, and the order
 * in which they end. Everything that ends a session goes through {@link end}.
 */
export class ManagedSession extends IdentifiedSession<ManagedSession> implements ConnectionOwner, OutletOwner, SourceReader {
  state: SessionState = 'connecting';
  closeReason: CloseReason | undefined;
  error: unknown;
  openedAt: number | undefined;

  /** No interceptor stands between the source and the session, so that what it emits need not pass through Nest. */
  isDirect = false;

  #outlet: Outlet;
  /** The same, when clients can come back to it. */
  #resumable: ResumableOutlet | undefined;
  readonly #source: SourceRun;
  readonly #alarm = new SessionAlarm(this);
  readonly #lifetime: Lifetime;
  readonly #revalidation: Revalidation | undefined;
  #abort: AbortController | undefined;
  #onSettled: SettledListener | undefined;
  /** Of other clients that came meanwhile. */
  #waiters: Set<SettledListener> | undefined;
  /** The headers of a client went out. */
  #hasBegun = false;
  #opensSoon = false;
  /** The request's own asynchronous context, in which its source and its hooks run. */
  readonly #scope = new AsyncResource('SseSession');

  constructor(
    context: SessionContext<ManagedSession>,
    identity: SessionIdentity,
    response: ResponseStream,
    onSettled: SettledListener,
    /** Why its client, which has come back, may have missed something. */
    reset?: ResetReason,
  ) {
    super(context, identity);
    this.#onSettled = onSettled;
    this.#source = new SourceRun(this, context.producers, context.logger);
    this.#lifetime = new Lifetime(context.clock, context.random, identity.options, identity.authorizedUntil);
    const { authorization } = identity.options;
    if (authorization && authorization.revalidate) {
      this.#revalidation = new Revalidation(this, authorization, (error) => this.#refuseFurther(error));
    }
    this.#resumable = this.#openLog(response, reset);
    this.#outlet = this.#resumable ?? new Connection(this, context.connections, identity.options, response);
  }

  /** Makes the session one of the application's, and begins to watch its client. */
  start(): void {
    this.context.onCreated(this);
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.#outlet.attach();
  }

  get lastActivityAt(): number {
    return this.#lifetime.lastActivityAt;
  }

  get expiresAt(): number | undefined {
    return this.#lifetime.expiresAt;
  }

  get connections(): number {
    return this.#outlet.connections;
  }

  get eventsSent(): number {
    return this.#outlet.eventsSent;
  }

  get eventsDropped(): number {
    return this.#outlet.eventsDropped;
  }

  get bytesSent(): number {
    return this.#outlet.bytesSent;
  }

  get pendingBytes(): number {
    return this.#outlet.pendingBytes;
  }

  /** Whether a client may come to it, or come back. */
  get isResumable(): boolean {
    return this.#resumable !== undefined && !this.#hasEnded;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#hasEnded) this.#abort.abort(abortReason(this));
    }
    return this.#abort.signal;
  }

  get #isClosed(): boolean {
    return this.state === 'closed';
  }

  get #hasEnded(): boolean {
    return this.state === 'closing' || this.state === 'closed';
  }

  // --- events ---------------------------------------------------------------------------------------------------------------------

  send(event: unknown): SendResult {
    if (this.#hasEnded) return 'closed';
    return this.deliver(readEvent(event, this.options));
  }

  comment(text: string): SendResult {
    if (this.#hasEnded) return 'closed';
    if (typeof text !== 'string') throw new SseSessionError('INVALID_EVENT', `A comment is ${typeof text}; expected a string.`);
    return this.deliver(encodeComment(text));
  }

  /** Sends what is encoded already. */
  deliver(event: EncodedEvent): SendResult {
    if (this.#hasEnded) return 'closed';
    this.refuseOwnId(event);
    if (event.committed) this.#lifetime.touch();
    const result = this.#outlet.push(event);
    if (result === 'overflow') {
      this.end('slow-client', overflowed(this, this.options));
      return 'closed';
    }
    if (this.state === 'connecting' && this.options.openOn === 'first-event' && event.committed) this.open();
    // opening, or writing to make room, may have failed
    if (this.#hasEnded) return 'closed';
    return result === 'dropped' ? 'dropped' : 'accepted';
  }

  /** @throws SseSessionError `INVALID_EVENT` for an event with an id, when the session gives its own */
  refuseOwnId({ hasId }: EncodedEvent): void {
    if (hasId && this.#resumable) throw ownId(this);
  }

  async flushed(): Promise<void> {
    // nothing leaves before the headers, and whoever waits for it means it to
    this.open();
    if (!this.#hasEnded) await this.#outlet.flushed();
    if (this.#hasEnded) throw endedBeforeFlush(this);
  }

  complete(): void {
    this.end('complete');
  }

  close(options: { reconnect?: boolean } = {}): void {
    this.end('cancelled', undefined, { reconnect: options.reconnect === true });
  }

  // --- source ---------------------------------------------------------------------------------------------------------------------

  /** Runs the handler and takes what it returns, see {@link SourceRun.handle}. */
  handle(handler: () => SseSource | Promise<SseSource>): Promise<unknown> {
    return this.#source.handle(handler, this.isDirect);
  }

  /** What Nest says of a handler whose source comes by {@link handle}: only that it failed is of interest. */
  watch(handled: Observable<unknown>): void {
    this.#source.watch(handled);
  }

  /**
   * Takes what the handler returned, as an Observable; it is the session's from here on, and let go of at its end, read or not.
   * @throws SseSessionError `INVALID_SOURCE`
   */
  adopt(returned: SseSource): Observable<unknown> {
    return this.#source.adopt(returned);
  }

  /** Reads a source (or what interceptors made of one) until it or the session ends. */
  consume(values: Observable<unknown>): void {
    this.#source.read(values);
  }

  /** The handler has resolved: what fails within this macrotask still has its proper HTTP status. */
  handlerResolved(source?: SseSource): void {
    if (source instanceof PacedSource) this.#giveUpLog();
    if (this.#opensSoon || this.options.openOn !== 'handler') return;
    this.#opensSoon = true;
    setImmediate(() => this.open());
  }

  /** A pipe, the handler, an interceptor or the source failed. */
  fail(error: unknown): void {
    this.end('error', error);
  }

  get isReady(): boolean {
    return this.#outlet.isReady;
  }

  tellWhenReady(): void {
    this.#outlet.tellWhenReady();
  }

  onReady(): void {
    this.#source.onReady();
  }

  onValue(value: unknown): void {
    // an interceptor may have answered in the handler's place
    if (!this.#opensSoon) this.handlerResolved();
    try {
      this.send(value);
    } catch (error) {
      this.fail(refusedValue(this, error));
    }
  }

  onSourceError(error: unknown): void {
    this.fail(error);
  }

  onSourceComplete(): void {
    this.complete();
  }

  // --- life -----------------------------------------------------------------------------------------------------------------------

  /** Sends the headers and what waits. Does nothing unless a response waits for it. */
  open(): void {
    if (!canGo(this.state, 'open') || !this.#outlet.isWaiting) return;
    if (this.#outlet.isGone) {
      // its leaving has not been heard of yet
      this.#outlet.check(this.context.clock.now());
      return;
    }
    if (this.#outlet.isAnswered) {
      this.fail(answeredElsewhere(this));
      return;
    }
    try {
      this.#outlet.sendHead();
    } catch (error) {
      // a header that Node refuses, or an `on-headers` hook that threw: the framework can still answer
      this.fail(error);
      return;
    }
    // what hooks of the head do may have ended it
    if (!this.#hasEnded) this.#begin();
  }

  /**
   * Calls `listener` once the session is connecting no longer: it is open, has lost its client or has ended. For clients that wait for it beside
   * its own. Returns what ends that.
   */
  whenSettled(listener: SettledListener): () => void {
    const waiters = (this.#waiters ??= new Set());
    waiters.add(listener);
    return () => waiters.delete(listener);
  }

  /** How many clients wait for it to open. */
  get waiting(): number {
    return this.#waiters?.size ?? 0;
  }

  /** What it has sent, when clients can come back for it, also after its end. */
  get log(): SessionLog | undefined {
    return this.#resumable?.log;
  }

  /**
   * A client has come, or come back: it gets what the log has after its position, and what is sent from now on. Before the session has opened
   * it waits for that, as the first one does. Throws what Node, or an `on-headers` hook, has against its headers; then the framework can still
   * answer.
   */
  attach(response: ResponseStream, { after, reset, authorizedUntil }: Attachment, onSettled: SettledListener): void {
    const outlet = this.#resumable;
    if (!outlet) throw new Error('Nobody can come back to this session');
    this.#lifetime.authorize(authorizedUntil, outlet.connections > 0);
    if (!this.#hasBegun) {
      this.#onSettled = onSettled;
      this.#rejoin(outlet, response, after, reset);
      return;
    }
    // what hooks of the head do may have ended it
    if (outlet.receive(response, after, reset) && !this.#hasEnded) this.#resume();
    onSettled(this);
  }

  /**
   * Ends the session; the first reason stands. Aborts the signal and stops the source at once; what waits is still written unless the
   * client is gone or has stalled; hooks run when the response is over.
   */
  end(reason: CloseReason, error?: unknown, lastWords: LastWords = {}): boolean {
    if (this.#hasEnded) return false;
    if (this.#outlet.isOpening) {
      // middleware ends it while the headers go out: as soon as they have
      queueMicrotask(() => this.end(reason, error, lastWords));
      return true;
    }
    if (this.state === 'connecting') {
      if (!opensFirst(reason)) return this.#endUnopened(reason, error);
      this.open();
      if (this.#hasEnded) return false;
    }
    this.closeReason = reason;
    this.error = error;
    if (reason === 'error') this.#logError(error);
    if (isAbrupt(reason) || this.#outlet.isClosed) {
      this.#conclude(lastWords);
      this.#outlet.destroy();
      this.#closed();
      return true;
    }
    this.#go('closing');
    this.context.wheel.cancel(this.#alarm);
    this.#stopProducing();
    this.#conclude(lastWords);
    this.#outlet.end(
      [...(lastWords.retry ? [lastWords.retry] : []), ...this.#lastEvents(lastWords)],
      this.context.closingMs(this),
      this.context.isStopping,
    );
    return true;
  }

  /** Cuts a session that is still writing its last, or ends it. */
  cut(reason: CloseReason): void {
    if (this.state === 'closing') {
      this.#outlet.destroy();
      this.#finish('stalled');
    } else {
      this.end(reason);
    }
  }

  /** An outer interceptor gave up on a session that had not opened: the response is somebody else's. */
  abandon(): void {
    if (this.state !== 'connecting') return;
    // others wait for it, who have given up on nothing
    if (this.waiting > 0 && this.#resumable) this.#resumable.abandon();
    else this.fail(abandoned(this));
  }

  /** Ends the session if any of its deadlines has passed or its client is gone; for the cleanup job. */
  check(now: number): void {
    this.#outlet.check(now);
    if (!this.#hasEnded) this.onAlarm(now);
  }

  onAlarm(now: number): number {
    const reason = this.#lifetime.passed(now);
    if (reason) this.end(reason);
    else if (this.#revalidation) this.#scope.runInAsyncScope(() => this.#revalidation?.check(now));
    return this.#hasEnded ? Infinity : this.#deadline;
  }

  onConnectionEnd(_connection: Connection, end: ConnectionEnd, error?: Error): void {
    if (this.state === 'closing') this.#finish(end, error);
    else this.#lose(end, error);
  }

  onDetached(end: ConnectionEnd, error: Error | undefined, isLast: boolean): void {
    if (this.#hasEnded || this.state === 'detached') return;
    if (!isLast) {
      this.context.onDetached(this, reasonOf(end), error);
      return;
    }
    const { resume } = this.options;
    if (!this.#canComeBack || !resume || resume.onDisconnect === 'cancel') {
      this.#lose(end, error);
      return;
    }
    this.#go('detached');
    this.#lifetime.detach(resume.graceMs);
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.#resumable?.onDetached();
    this.context.onDetached(this, reasonOf(end), error);
    this.#scope.runInAsyncScope(() => this.#settle());
  }

  onReadElsewhere(): void {
    if (this.state !== 'detached') return;
    if (this.#hasBegun) {
      this.#resume();
      return;
    }
    this.#lifetime.attach();
    this.#begin();
  }

  onAllEnded(): void {
    this.#closed();
  }

  /** The one place where the state changes; what the table does not allow is a defect of this class. */
  #go(to: SessionState): void {
    if (!canGo(this.state, to)) throw new Error(`A session cannot go from ${this.state} to ${to}`);
    this.state = to;
  }

  /** The end has been written, or could not be. */
  #finish(end: ConnectionEnd, error?: Error): void {
    const reason = this.closeReason as CloseReason;
    // what a client of a log has not read stays there for it
    if (!this.#resumable) this.closeReason = afterConnectionEnd(reason, end);
    if (this.closeReason !== reason)
      this.error = this.closeReason === 'slow-client' ? slowClient(this, 'it did not take the rest in time') : error;
    this.#closed();
  }

  /** The client is gone, or has to go, and the session with it. */
  #lose(end: ConnectionEnd, error: Error | undefined): void {
    this.end(end === 'finished' ? 'error' : reasonOf(end), end === 'left' ? error : lossOf(end, this, this.options));
  }

  /** Some client knows how: it has an id, or the application's own name for the session. */
  get #canComeBack(): boolean {
    return this.#resumable !== undefined && (this.#resumable.isKnown || (this.key !== undefined && this.principal !== undefined));
  }

  /** The headers are out, for the first time. */
  #begin(): void {
    this.#go('open');
    this.#lifetime.open();
    this.#revalidation?.open(this.context.clock.now());
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.#hasBegun = true;
    this.#outlet.start(retryLine(this.options.retryMs, this.context.random));
    // a response that failed at its first write has ended the session
    if (this.#isClosed) return;
    this.openedAt = this.#lifetime.lastActivityAt;
    // before the hooks, as one of them may end the session at once
    this.context.onOpened(this);
    this.#scope.runInAsyncScope(() => {
      this.#settle();
      runHooks('open', this, this.context);
    });
  }

  /** A client is there again before the session has opened: what fails still has its proper HTTP status. */
  #rejoin(outlet: ResumableOutlet, response: ResponseStream, after: Position, reset: ResetReason | undefined): void {
    this.#go('connecting');
    this.#lifetime.attach();
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.context.onAttached(this);
    outlet.add(response, after, reset);
    outlet.attach();
    const mayOpen = this.options.openOn === 'handler' ? this.#opensSoon : outlet.log.tail > 0;
    if (mayOpen) this.open();
  }

  /** One more client is there. */
  #resume(): void {
    if (this.state === 'detached') this.#go('open');
    this.#lifetime.attach();
    this.context.wheel.set(this.#alarm, this.#deadline);
    // after the opening lines, as one who hears of it may end the session at once
    if (this.#outlet.start(retryLine(this.options.retryMs, this.context.random))) this.context.onAttached(this);
  }

  #openLog(response: ResponseStream, reset: ResetReason | undefined): ResumableOutlet | undefined {
    const { options } = this.identity;
    if (!options.resume) return undefined;
    const { directory, connections } = this.context;
    const log = { id: this.id, address: this.identity, limits: options.resume };
    const outlet = new ResumableOutlet(this, connections, options, directory, log);
    outlet.add(response, 0, reset);
    return outlet;
  }

  /** Its source numbers its events itself, and a client that comes back with such a number is the source's business. */
  #giveUpLog(): void {
    const outlet = this.#resumable;
    if (!outlet || this.#hasBegun || outlet.log.tail > 0) return;
    this.#resumable = undefined;
    const response = outlet.giveUpLog();
    if (!response) {
      // nobody who knows of it can come back
      this.end('client-disconnect');
      return;
    }
    this.#outlet = new Connection(this, this.context.connections, this.options, response.stream);
    this.#outlet.attach();
    if (response.ownLines) this.#outlet.push(response.ownLines);
  }

  #conclude({ reconnect = false }: LastWords): void {
    this.#resumable?.conclude(this.closeReason as CloseReason, reconnect, this.context.clock.now());
  }

  #lastEvents({ reconnect = false }: LastWords): EncodedEvent[] {
    return lastEvents(this, this.options, { goesOn: reconnect, givesIds: this.#resumable !== undefined }, this.context.logger);
  }

  get #deadline(): number {
    return Math.min(this.#lifetime.deadline, this.#revalidation?.deadline ?? Infinity);
  }

  #refuseFurther(error: unknown): void {
    if (this.#hasEnded) return;
    if (error !== undefined) {
      this.context.logger.error(
        `authorization.revalidate of session ${this.id} (${this.route}) failed: ${describeError(error)}`,
        stackOf(error),
      );
    }
    this.end('unauthorized', error);
  }

  #endUnopened(reason: CloseReason, error: unknown): boolean {
    this.closeReason = reason;
    this.error = error;
    this.#resumable?.forget();
    this.#outlet.release();
    this.#closed();
    return true;
  }

  /** The last step of every life: nothing of the session is left when the hooks run. */
  #closed(): void {
    const wasSettled = this.#onSettled === undefined;
    this.#go('closed');
    this.context.wheel.cancel(this.#alarm);
    this.#stopProducing();
    this.#resumable?.onClosed();
    this.context.onClosed(this);
    this.#scope.runInAsyncScope(() => {
      for (const hook of hooksOf(this.closeReason as CloseReason)) runHooks(hook, this, this.context);
      if (!wasSettled) this.#settle();
    });
    this.context.onEnded(this);
  }

  #settle(): void {
    const onSettled = this.#onSettled;
    const waiters = this.#waiters;
    this.#onSettled = this.#waiters = undefined;
    onSettled?.(this);
    for (const waiter of waiters ?? []) waiter(this);
  }

  #stopProducing(): void {
    this.#scope.runInAsyncScope(() => {
      this.#abort?.abort(abortReason(this));
      this.#source.stop();
    });
  }

  /** As Nest does it: what is no HttpException is a defect that somebody has to see. Before the headers Nest itself logs it. */
  #logError(error: unknown): void {
    if (isHttpException(error)) return;
    this.context.logger.error(`Session ${this.id} (${this.route}) failed: ${describeError(error)}`, stackOf(error));
  }
}
