import { type HookTable } from './hooks.js';
import { sessionId } from './session-id.js';
import type { SessionContext, SessionIdentity } from './session-context.js';
import { type HookedSession, type RouteHooks, addHook } from './session-hooks.js';
import { type CompletionCallback, type ErrorCallback, type OpenCallback, SseSession, type TimeoutCallback } from './sse-session.js';

/** Who a session is, what the application has put into it, and the hooks of its own: all that is the same whatever happens to it. */
export abstract class IdentifiedSession<Session> extends SseSession implements HookedSession {
  readonly id = sessionId();
  /** The controller on which the handler runs, as `this` of the route's hooks. */
  controller: unknown;
  ownHooks: HookTable | undefined;
  #data: Record<string, unknown> | undefined;

  constructor(
    protected readonly context: SessionContext<Session>,
    protected readonly identity: SessionIdentity,
  ) {
    super();
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

  get data(): Record<string, unknown> {
    return (this.#data ??= {});
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
}
