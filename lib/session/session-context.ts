import type { Clock, Random } from '../clock/clock.js';
import type { ConnectionContext } from '../connection/connection.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { HookLogger, HookRunner, HookTable } from './hooks.js';
import type { RouteHooks } from './session-hooks.js';

/** Who a session is: what was known when its request came. */
export interface SessionIdentity {
  readonly route: string;
  readonly options: ResolvedRouteOptions;
  readonly hooks: RouteHooks;
  readonly principal: string | undefined;
  readonly key: string | undefined;
  readonly remoteAddress: string | undefined;
}

/** What a session has of its application, and whom it tells of its life. */
export interface SessionContext<Session> extends ConnectionContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly hookRunner: HookRunner;
  /** The hooks of the application's providers. */
  readonly hooks: HookTable;
  readonly logger: HookLogger;
  onCreated(session: Session): void;
  onOpened(session: Session): void;
  /** The session is over, and its hooks are about to run. */
  onClosed(session: Session): void;
  /** The hooks have been called. */
  onEnded(session: Session): void;
  /** How long the end of a session may take to be written, in milliseconds. */
  closingMs(session: Session): number;
}
