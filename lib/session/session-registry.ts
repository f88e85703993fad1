import { Subject } from 'rxjs';
import type { Clock, Random } from '../clock/clock.js';
import { TimerWheel } from '../clock/timer-wheel.js';
import { Connections } from '../connection/connections.js';
import { readTcpTables } from '../liveness/tcp-table.js';
import type { ResolvedModuleOptions } from '../options/resolve.js';
import { MemoryDirectory } from '../resume/memory-directory.js';
import type { SessionDirectory } from '../resume/session-directory.js';
import { HookRunner, emptyHookTable } from './hooks.js';
import type { ManagedSession } from './managed-session.js';
import { type SessionLogger, safeLogger } from './safe-logger.js';
import type { SessionContext } from './session-context.js';
import type { SseSession } from './sse-session.js';
import { Stragglers, type StragglerKind } from './stragglers.js';
import { CLOSE_REASONS, type CloseReason } from '../options/close-reasons.js';
import { type EndHook, hooksOf } from './state.js';

/** What happens to the sessions of an application, in order. */
export type SessionEvent =
  | { readonly type: 'open' | 'timeout'; readonly session: SseSession; readonly reason?: undefined; readonly error?: undefined }
  | { readonly type: 'error'; readonly session: SseSession; readonly reason?: undefined; readonly error: unknown }
  | { readonly type: 'completion'; readonly session: SseSession; readonly reason: CloseReason; readonly error?: undefined }
  /** A client has come to a session that there is, or come back to it. */
  | { readonly type: 'attach'; readonly session: SseSession; readonly reason?: undefined; readonly error?: undefined }
  /** A client has gone, for a reason that would have ended a session without `resume`, which this one survives; with the socket's error, if there was one. */
  | { readonly type: 'detach'; readonly session: SseSession; readonly reason: CloseReason; readonly error: Error | undefined }
  /** A request was refused, with the exception that says why; it made no session. */
  | { readonly type: 'rejected'; readonly session?: undefined; readonly reason?: undefined; readonly error: unknown };

/** What was counted since the application started, of sessions that have ended. */
export interface Totals {
  opened: number;
  rejected: number;
  endedByReason: Record<CloseReason, number>;
  eventsSent: number;
  eventsDropped: number;
  bytesSent: number;
}

/** A producer that runs on for so long after it was told to stop is reported. */
const RUNNING_PRODUCER: StragglerKind = {
  afterMs: 5_000,
  message: (name, elapsedMs) =>
    `The producer of ${name} still runs, ${elapsedMs} ms after it was told to stop. Hand session.signal to whatever it awaits; until it stops, what it holds is not freed.`,
};

/** The live sessions of one application, and what they share. All that is known of them together stands here. */
export class SessionRegistry implements SessionContext<ManagedSession> {
  readonly wheel: TimerWheel;
  readonly logger: SessionLogger;
  readonly connections: Connections;
  readonly hookRunner: HookRunner;
  readonly producers: Stragglers;
  readonly hooks = emptyHookTable();
  readonly totals: Totals = {
    opened: 0,
    rejected: 0,
    endedByReason: Object.fromEntries(CLOSE_REASONS.map((reason) => [reason, 0])) as Record<CloseReason, number>,
    eventsSent: 0,
    eventsDropped: 0,
    bytesSent: 0,
  };

  /** When a shutdown cuts what still writes, by the clock; `Infinity` while the application runs. */
  closingDeadline = Infinity;

  readonly #sessions = new Map<string, ManagedSession>();
  readonly #byPrincipal = new Map<string, Set<ManagedSession>>();
  readonly #perRoute = new Map<string, number>();
  readonly #events = new Subject<SessionEvent>();
  #emptyWaiters: (() => void)[] = [];

  readonly events$ = this.#events.asObservable();

  constructor(
    readonly options: ResolvedModuleOptions,
    readonly clock: Clock,
    readonly random: Random,
    logger: SessionLogger,
    readTables = readTcpTables,
    readonly directory: SessionDirectory = new MemoryDirectory(clock, options.resumeMaxTotalBytes),
  ) {
    this.logger = safeLogger(logger);
    this.wheel = new TimerWheel(clock);
    this.connections = new Connections(this.wheel, options.maxTotalBytes, readTables, (message) => this.logger.warn(message));
    this.producers = new Stragglers(RUNNING_PRODUCER, this.logger, () => clock.now());
    this.hookRunner = new HookRunner(this.logger, () => clock.now());
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(id: string): ManagedSession | undefined {
    return this.#sessions.get(id);
  }

  [Symbol.iterator](): IterableIterator<ManagedSession> {
    return this.#sessions.values();
  }

  /** Live sessions of a principal, by an index. */
  ofPrincipal(principal: string): ReadonlySet<ManagedSession> {
    return this.#byPrincipal.get(principal) ?? NO_SESSIONS;
  }

  countOfRoute(route: string): number {
    return this.#perRoute.get(route) ?? 0;
  }

  /** Resolves when no session is left. */
  empty(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  /** A request was refused, with this error. */
  rejected<E>(error: E): E {
    this.totals.rejected++;
    this.#events.next({ type: 'rejected', error });
    return error;
  }

  get isStopping(): boolean {
    return this.closingDeadline !== Infinity;
  }

  closingMs(session: ManagedSession): number {
    return Math.min(session.options.buffer.stallTimeoutMs, Math.max(0, this.closingDeadline - this.clock.now()));
  }

  onCreated(session: ManagedSession): void {
    this.#sessions.set(session.id, session);
    this.#perRoute.set(session.route, this.countOfRoute(session.route) + 1);
    if (session.principal === undefined) return;
    const own = this.#byPrincipal.get(session.principal);
    if (own) own.add(session);
    else this.#byPrincipal.set(session.principal, new Set([session]));
  }

  onOpened(session: ManagedSession): void {
    this.totals.opened++;
    this.#events.next({ type: 'open', session });
  }

  onAttached(session: ManagedSession): void {
    this.#events.next({ type: 'attach', session });
  }

  onDetached(session: ManagedSession, reason: CloseReason, error: Error | undefined): void {
    this.#events.next({ type: 'detach', session, reason, error });
  }

  onClosed(session: ManagedSession): void {
    this.#sessions.delete(session.id);
    const left = this.countOfRoute(session.route) - 1;
    if (left > 0) this.#perRoute.set(session.route, left);
    else this.#perRoute.delete(session.route);
    this.#forgetPrincipal(session);
    this.totals.endedByReason[session.closeReason as CloseReason]++;
    this.totals.eventsSent += session.eventsSent;
    this.totals.eventsDropped += session.eventsDropped;
    this.totals.bytesSent += session.bytesSent;
  }

  onEnded(session: ManagedSession): void {
    const reason = session.closeReason as CloseReason;
    for (const type of hooksOf(reason)) this.#events.next(eventOfEnd(type, session, reason));
    if (this.#sessions.size > 0) return;
    const waiters = this.#emptyWaiters;
    this.#emptyWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** The application has stopped: completes `events$`, and forgets whom nobody can come back to. */
  dispose(): void {
    this.directory.dispose();
    this.#events.complete();
  }

  #forgetPrincipal(session: ManagedSession): void {
    if (session.principal === undefined) return;
    const own = this.#byPrincipal.get(session.principal);
    own?.delete(session);
    if (own?.size === 0) this.#byPrincipal.delete(session.principal);
  }
}

const NO_SESSIONS: ReadonlySet<ManagedSession> = new Set();

function eventOfEnd(type: EndHook, session: SseSession, reason: CloseReason): SessionEvent {
  switch (type) {
    case 'timeout':
      return { type, session };
    case 'error':
      return { type, session, error: session.error };
    case 'completion':
      return { type, session, reason };
  }
}
