import { AsyncResource } from 'node:async_hooks';
import type { Observable } from 'rxjs';
import { Alarm } from '../clock/timer-wheel.js';
import type { ConnectionEnd } from '../connection/connection-end.js';
import { Connection, type ConnectionOwner } from '../connection/connection.js';
import type { ResponseStream } from '../connection/response-stream.js';
import { SseSessionError, describeError, stackOf } from '../errors.js';
import { type EncodedEvent, encodeComment } from '../event/encode.js';
import { isHttpException } from '../options/error-message.js';
import { readEvent } from '../event/read-event.js';
import type { SseSource } from '../source/sse-source.js';
import { lastEvents } from './last-events.js';
import { Lifetime } from './lifetime.js';
import {
  abandoned,
  abortReason,
  answeredElsewhere,
  deadPeer,
  endedBeforeFlush,
  endedElsewhere,
  overflowed,
  refusedValue,
  slowClient,
} from './session-errors.js';
import { Revalidation } from './revalidation.js';
import { type HookedSession, type RouteHooks, addHook, runHooks } from './session-hooks.js';
import type { HookTable } from './hooks.js';
import { sessionId } from './session-id.js';
import { SourceRun, type SourceReader } from './source-run.js';
import type { SessionContext, SessionIdentity } from './session-context.js';
import {
  type CompletionCallback,
  type ErrorCallback,
  type OpenCallback,
  type SendResult,
  SseSession,
  type TimeoutCallback,
} from './sse-session.js';
import { type CloseReason, type SessionState, afterConnectionEnd, canGo, hooksOf, isAbrupt, opensFirst } from './state.js';

/** Up to a half on top of the retry, so that clients that were cut together do not come back together. */
const RETRY_JITTER = 0.5;

/** Who waits for a session to open: called once, when it is open or has ended before. */
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
export class ManagedSession extends SseSession implements ConnectionOwner, SourceReader, HookedSession {
  readonly id = sessionId();
  state: SessionState = 'connecting';
  closeReason: CloseReason | undefined;
  error: unknown;
  openedAt: number | undefined;

  /** The controller on which the handler runs, as `this` of the route's hooks. */
  controller: unknown;
  /** No interceptor stands between the source and the session, so that what it emits need not pass through Nest. */
  isDirect = false;
  ownHooks: HookTable | undefined;

  readonly #connection: Connection;
  readonly #source: SourceRun;
  readonly #alarm = new SessionAlarm(this);
  readonly #lifetime: Lifetime;
  readonly #revalidation: Revalidation | undefined;
  #data: Record<string, unknown> | undefined;
  #abort: AbortController | undefined;
  #onSettled: SettledListener | undefined;
  #opensSoon = false;
  /** The request's own asynchronous context, in which its source and its hooks run. */
  readonly #scope = new AsyncResource('SseSession');

  constructor(
    private readonly context: SessionContext<ManagedSession>,
    private readonly identity: SessionIdentity,
    response: ResponseStream,
    onSettled: SettledListener,
  ) {
    super();
    this.#onSettled = onSettled;
    this.#source = new SourceRun(this, context.producers, context.logger);
    this.#lifetime = new Lifetime(context.clock, context.random, identity.options, identity.authorizedUntil);
    const { authorization } = identity.options;
    if (authorization && authorization.revalidate) {
      this.#revalidation = new Revalidation(this, authorization, (error) => this.#refuseFurther(error));
    }
    this.#connection = new Connection(this, context.connections, identity.options, response);
  }

  /** Makes the session one of the application's, and begins to watch its client. */
  start(): void {
    this.context.onCreated(this);
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.#connection.attach();
  }

  get key(): string | undefined {
    return this.identity.key;
  }

  get principal(): string | undefined {
    return this.identity.principal;
  }

  get route(): string {
    return this.identity.route;
  }

  get remoteAddress(): string | undefined {
    return this.identity.remoteAddress;
  }

  get routeHooks(): RouteHooks {
    return this.identity.hooks;
  }

  get options(): SessionIdentity['options'] {
    return this.identity.options;
  }

  get lastActivityAt(): number {
    return this.#lifetime.lastActivityAt;
  }

  get expiresAt(): number | undefined {
    return this.#lifetime.expiresAt;
  }

  get connections(): number {
    return this.#connection.isClosed ? 0 : 1;
  }

  get eventsSent(): number {
    return this.#connection.eventsSent;
  }

  get eventsDropped(): number {
    return this.#connection.eventsDropped;
  }

  get bytesSent(): number {
    return this.#connection.bytesSent;
  }

  get pendingBytes(): number {
    return this.#connection.pendingBytes;
  }

  get data(): Record<string, unknown> {
    return (this.#data ??= {});
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
    return this.deliver(readEvent(event, this.identity.options));
  }

  comment(text: string): SendResult {
    if (this.#hasEnded) return 'closed';
    if (typeof text !== 'string') throw new SseSessionError('INVALID_EVENT', `A comment is ${typeof text}; expected a string.`);
    return this.deliver(encodeComment(text));
  }

  /** Sends what is encoded already. */
  deliver(event: EncodedEvent): SendResult {
    if (this.#hasEnded) return 'closed';
    if (event.committed) this.#lifetime.touch();
    const result = this.#connection.push(event);
    if (result === 'overflow') {
      this.end('slow-client', overflowed(this, this.identity.options.buffer.maxBytes));
      return 'closed';
    }
    if (this.state === 'connecting' && this.identity.options.openOn === 'first-event' && event.committed) this.open();
    // opening, or writing to make room, may have failed
    if (this.#hasEnded) return 'closed';
    return result === 'dropped' ? 'dropped' : 'accepted';
  }

  async flushed(): Promise<void> {
    // nothing leaves before the headers, and whoever waits for it means it to
    this.open();
    if (!this.#hasEnded) await this.#connection.flushed();
    if (this.#hasEnded) throw endedBeforeFlush(this);
  }

  complete(): void {
    this.end('complete');
  }

  close(): void {
    this.end('cancelled');
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
  handlerResolved(): void {
    if (this.#opensSoon || this.identity.options.openOn !== 'handler') return;
    this.#opensSoon = true;
    setImmediate(() => this.open());
  }

  /** A pipe, the handler, an interceptor or the source failed. */
  fail(error: unknown): void {
    this.end('error', error);
  }

  get isReady(): boolean {
    return this.#connection.isReady;
  }

  tellWhenReady(): void {
    this.#connection.tellWhenReady();
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

  /** Sends the headers and what waits. Does nothing unless the session is still connecting. */
  open(): void {
    if (!canGo(this.state, 'open') || this.#connection.isOpening) return;
    if (this.#connection.isGone) {
      this.end('client-disconnect');
      return;
    }
    if (this.#connection.isAnswered) {
      this.fail(answeredElsewhere(this));
      return;
    }
    try {
      this.#connection.sendHead();
    } catch (error) {
      // a header that Node refuses, or an `on-headers` hook that threw: the framework can still answer
      this.fail(error);
      return;
    }
    // what hooks of the head do may have ended it
    if (this.#hasEnded) return;
    this.#go('open');
    this.#lifetime.open();
    this.#revalidation?.open(this.context.clock.now());
    this.context.wheel.set(this.#alarm, this.#deadline);
    this.#connection.start(this.#openingLines());
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

  /**
   * Ends the session; the first reason stands. Aborts the signal and stops the source at once; what waits is still written unless the
   * client is gone or has stalled; hooks run when the response is over.
   *
   * @param lastWords written after what waits, before the `endEvent`
   */
  end(reason: CloseReason, error?: unknown, lastWords: EncodedEvent[] = []): boolean {
    if (this.#hasEnded) return false;
    if (this.#connection.isOpening) {
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
    if (isAbrupt(reason) || this.#connection.isClosed) {
      this.#connection.destroy();
      this.#closed();
      return true;
    }
    this.#go('closing');
    this.context.wheel.cancel(this.#alarm);
    this.#stopProducing();
    this.#connection.end(
      [...lastWords, ...lastEvents(this, this.identity.options, this.context.logger)],
      this.context.closingMs(this),
      this.context.isStopping,
    );
    return true;
  }

  /** Cuts a session that is still writing its last, or ends it. */
  cut(reason: CloseReason): void {
    if (this.state === 'closing') {
      this.#connection.destroy();
      this.onConnectionEnd(this.#connection, 'stalled');
    } else {
      this.end(reason);
    }
  }

  /** An outer interceptor gave up on a session that had not opened: the response is somebody else's. */
  abandon(): void {
    if (this.state !== 'connecting') return;
    this.fail(abandoned(this));
  }

  /** Ends the session if any of its deadlines has passed or its client is gone; for the cleanup job. */
  check(now: number): void {
    this.#connection.check(now);
    if (!this.#hasEnded) this.onAlarm(now);
  }

  onAlarm(now: number): number {
    const reason = this.#lifetime.passed(now);
    if (reason) this.end(reason);
    else if (this.#revalidation) this.#scope.runInAsyncScope(() => this.#revalidation?.check(now));
    return this.#hasEnded ? Infinity : this.#deadline;
  }

  onConnectionEnd(_connection: Connection, end: ConnectionEnd, error?: Error): void {
    if (this.state === 'closing') {
      const reason = this.closeReason as CloseReason;
      this.closeReason = afterConnectionEnd(reason, end);
      if (this.closeReason !== reason)
        this.error = this.closeReason === 'slow-client' ? slowClient(this, 'it did not take the rest in time') : error;
      this.#closed();
    } else if (end === 'finished') {
      this.end('error', endedElsewhere(this));
    } else if (end === 'stalled') {
      this.end('slow-client', slowClient(this, `nothing moved for ${this.identity.options.buffer.stallTimeoutMs} ms`));
    } else if (end === 'crowded-out') {
      this.end('slow-client', slowClient(this, 'more than maxTotalBytes wait in the process, and much of that for it'));
    } else if (end === 'dead') {
      this.end('dead-peer', deadPeer(this, this.identity.options.deadPeer));
    } else {
      this.end('client-disconnect', error);
    }
  }

  onOpen(callback: OpenCallback): void {
    addHook('open', this, callback, this.context);
  }

  onCompletion(callback: CompletionCallback): void {
    addHook('completion', this, callback, this.context);
  }

  onTimeout(callback: TimeoutCallback): void {
    addHook('timeout', this, callback, this.context);
  }

  onError(callback: ErrorCallback): void {
    addHook('error', this, callback, this.context);
  }

  /** The one place where the state changes; what the table does not allow is a defect of this class. */
  #go(to: SessionState): void {
    if (!canGo(this.state, to)) throw new Error(`A session cannot go from ${this.state} to ${to}`);
    this.state = to;
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

  #openingLines(): string {
    const { retryMs } = this.identity.options;
    return retryMs === false ? '' : `retry: ${Math.round(retryMs * (1 + RETRY_JITTER * this.context.random()))}\n`;
  }

  #endUnopened(reason: CloseReason, error: unknown): boolean {
    this.closeReason = reason;
    this.error = error;
    this.#connection.release();
    this.#closed();
    return true;
  }

  /** The last step of every life: nothing of the session is left when the hooks run. */
  #closed(): void {
    const wasSettled = this.#onSettled === undefined;
    this.#go('closed');
    this.context.wheel.cancel(this.#alarm);
    this.#stopProducing();
    this.context.onClosed(this);
    this.#scope.runInAsyncScope(() => {
      for (const hook of hooksOf(this.closeReason as CloseReason)) runHooks(hook, this, this.context);
      if (!wasSettled) this.#settle();
    });
    this.context.onEnded(this);
  }

  #settle(): void {
    const onSettled = this.#onSettled;
    this.#onSettled = undefined;
    onSettled?.(this);
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
