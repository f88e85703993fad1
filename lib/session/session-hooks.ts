import { type AnyHook, type HookCallbacks, type HookKind, type HookRunner, type HookTable, emptyHookTable } from './hooks.js';
import type { SseSession } from './sse-session.js';
import { type CloseReason, hooksOf } from './state.js';

/** The hooks that a route's options name; `this` is the controller. */
export interface RouteHooks {
  onOpen?: AnyHook | undefined;
  onCompletion?: AnyHook | undefined;
  onTimeout?: AnyHook | undefined;
  onError?: AnyHook | undefined;
}

/** What hooks are called with: the session, and the controller as the `this` of the route's. */
interface HookedSession extends SseSession {
  readonly controller: unknown;
}

const NO_HOOKS: readonly AnyHook[] = [];

const ROUTE_HOOK = { open: 'onOpen', completion: 'onCompletion', timeout: 'onTimeout', error: 'onError' } as const;

/**
 * The hooks of one session, in the order in which they are called: its own callbacks, the route's, those of the application's providers.
 * The list of callbacks is made when there is one.
 */
export class SessionHooks {
  #callbacks: HookTable | undefined;

  constructor(
    private readonly session: HookedSession,
    private readonly runner: HookRunner,
    private readonly route: RouteHooks,
    private readonly application: HookTable,
  ) {}

  /** A callback for something that has been is called now: what it frees must be freed. */
  add<K extends HookKind>(kind: K, callback: HookCallbacks[K]): void {
    if (this.#hasBeen(kind)) {
      queueMicrotask(() => this.#call(kind, callback, undefined));
      return;
    }
    this.#callbacks ??= emptyHookTable();
    this.#callbacks[kind].push(callback);
  }

  run(kind: HookKind): void {
    for (const callback of this.#callbacks?.[kind] ?? NO_HOOKS) this.#callInTurn(kind, callback, undefined);
    const routeHook = this.route[ROUTE_HOOK[kind]];
    if (routeHook) this.#callInTurn(kind, routeHook, this.session.controller);
    for (const hook of this.application[kind] as AnyHook[]) this.#callInTurn(kind, hook, undefined);
  }

  /** An `open` hook may end the session at once: after its completion no other opens. */
  #callInTurn(kind: HookKind, hook: AnyHook, self: unknown): void {
    if (kind !== 'open' || this.session.state !== 'closed') this.#call(kind, hook, self);
  }

  #call(kind: HookKind, hook: AnyHook, self: unknown): void {
    const { session } = this;
    const rest = kind === 'completion' ? [session.closeReason] : kind === 'error' ? [session.error] : [];
    this.runner.run(kind, session, () => hook.call(self, session, ...(rest as never[])));
  }

  #hasBeen(kind: HookKind): boolean {
    const { session } = this;
    if (kind === 'open') return session.openedAt !== undefined;
    return session.state === 'closed' && hooksOf(session.closeReason as CloseReason).some((hook) => hook === kind);
  }
}
