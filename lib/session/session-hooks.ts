import { type AnyHook, type HookCallbacks, type HookKind, type HookRunner, type HookTable, emptyHookTable } from './hooks.js';
import type { SseSession } from './sse-session.js';
import type { CloseReason } from '../options/close-reasons.js';
import { hooksOf } from './state.js';

/** The hooks that a route's options name; `this` is the controller. */
export interface RouteHooks {
  onOpen?: AnyHook | undefined;
  onCompletion?: AnyHook | undefined;
  onTimeout?: AnyHook | undefined;
  onError?: AnyHook | undefined;
}

/** A session as its hooks are found by. */
export interface HookedSession extends SseSession {
  /** The `this` of the route's hooks. */
  readonly controller: unknown;
  readonly routeHooks: RouteHooks;
  /** Those of its own; made when there is one, as most sessions have none. */
  ownHooks: HookTable | undefined;
}

interface ApplicationHooks {
  readonly hookRunner: HookRunner;
  /** The hooks of the application's providers. */
  readonly hooks: HookTable;
}

const NO_HOOKS: readonly AnyHook[] = [];
const NO_ARGUMENTS: readonly never[] = [];

const ROUTE_HOOK = { open: 'onOpen', completion: 'onCompletion', timeout: 'onTimeout', error: 'onError' } as const;

/*
 * Functions, as an object per session that holds nothing but what the session has would cost each 80 bytes.
 */

/** A callback for something that has been is called now: what it frees must be freed. */
export function addHook<K extends HookKind>(
  kind: K,
  session: HookedSession,
  callback: HookCallbacks[K],
  { hookRunner }: ApplicationHooks,
): void {
  if (hasBeen(kind, session)) {
    queueMicrotask(() => call(kind, session, callback, undefined, hookRunner));
    return;
  }
  session.ownHooks ??= emptyHookTable();
  session.ownHooks[kind].push(callback);
}

/** Calls the hooks of a session, in this order: its own callbacks, the route's, those of the application's providers. */
export function runHooks(kind: HookKind, session: HookedSession, { hookRunner, hooks }: ApplicationHooks): void {
  // an `open` hook may end the session at once: after its completion no other opens
  const callInTurn = (hook: AnyHook, self: unknown): void => {
    if (kind !== 'open' || session.state !== 'closed') call(kind, session, hook, self, hookRunner);
  };
  for (const callback of session.ownHooks?.[kind] ?? NO_HOOKS) callInTurn(callback, undefined);
  const routeHook = session.routeHooks[ROUTE_HOOK[kind]];
  if (routeHook) callInTurn(routeHook, session.controller);
  for (const hook of hooks[kind] as AnyHook[]) callInTurn(hook, undefined);
}

function call(kind: HookKind, session: HookedSession, hook: AnyHook, self: unknown, runner: HookRunner): void {
  const rest = kind === 'completion' ? [session.closeReason] : kind === 'error' ? [session.error] : NO_ARGUMENTS;
  runner.run(kind, session, () => hook.call(self, session, ...(rest as never[])));
}

function hasBeen(kind: HookKind, session: SseSession): boolean {
  if (kind === 'open') return session.openedAt !== undefined;
  return session.state === 'closed' && hooksOf(session.closeReason as CloseReason).some((hook) => hook === kind);
}
