import type { Clock, Random } from '../clock/clock.js';
import type { TimerWheel } from '../clock/timer-wheel.js';
import type { ConnectionContext } from '../connection/connection.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { SessionDirectory } from '../resume/session-directory.js';
import type { HookRunner, HookTable } from './hooks.js';
import type { SessionLogger } from './safe-logger.js';
import type { Stragglers } from './stragglers.js';
import type { RouteHooks } from './session-hooks.js';

/** Who a session is: what was known when its request came. */
export interface SessionIdentity {
  readonly route: string;
  readonly options: ResolvedRouteOptions;
  readonly hooks: RouteHooks;
  readonly principal: string | undefined;
  readonly key: string | undefined;
  readonly remoteAddress: string | undefined;
  /** Of its request, without the query; known when it can be resumed. */
  readonly path?: string | undefined;
  /** When its authorisation ends, in epoch milliseconds. */
  readonly authorizedUntil: number | undefined;
}

/** What a session has of its application, and whom it tells of its life. */
export interface SessionContext<Session> {
  readonly wheel: TimerWheel;
  readonly connections: ConnectionContext;
  /** Where sessions that can be resumed are found. */
  readonly directory: SessionDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly hookRunner: HookRunner;
  /** Producers that were told to stop and still run. */
  readonly producers: Stragglers;
  /** The hooks of the application's providers. */
  readonly hooks: HookTable;
  readonly logger: SessionLogger;
  onCreated(session: Session): void;
  onOpened(session: Session): void;
  /** A client has come to a session that there is, or come back to it. */
  onAttached(session: Session): void;
  /** A client has gone, and the session lives on. */
  onDetached(session: Session, reason: CloseReason, error: Error | undefined): void;
  /** The session is over, and its hooks are about to run. */
  onClosed(session: Session): void;
  /** The hooks have been called. */
  onEnded(session: Session): void;
  /** Whether the application stops, so that a client's connection is not kept alive. */
  readonly isStopping: boolean;
  /** How long the end of a session may take to be written, in milliseconds. */
  closingMs(session: Session): number;
}
