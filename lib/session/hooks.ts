import { describeError, stackOf } from '../errors.js';
import type { CloseReason } from './state.js';
import type { CompletionCallback, ErrorCallback, OpenCallback, SseSession, TimeoutCallback } from './sse-session.js';

/** The kinds of hooks and what each is called with after the session. */
export interface HookArguments {
  open: [];
  completion: [reason: CloseReason];
  timeout: [];
  error: [error: unknown];
}

export type HookKind = keyof HookArguments;

export interface HookCallbacks {
  open: OpenCallback;
  completion: CompletionCallback;
  timeout: TimeoutCallback;
  error: ErrorCallback;
}

export type AnyHook = (session: SseSession, ...rest: never[]) => unknown;

/** Hooks for every session of an application: the methods that `@OnSseSession()` marks. */
export type HookTable = { readonly [K in HookKind]: HookCallbacks[K][] };

export function emptyHookTable(): HookTable {
  return { open: [], completion: [], timeout: [], error: [] };
}

export interface HookLogger {
  error(message: string, stack?: string): void;
  warn(message: string): void;
}

interface PendingHook {
  readonly name: string;
  readonly since: number;
  warned: boolean;
}

/** A hook that has not come back for so long is reported. */
const HANGING_MS = 10_000;

/**
 * Calls hooks, and keeps whatever they do to themselves: one that throws or rejects is logged, one that hangs is reported, and none
 * delays anything but a shutdown, which waits for the asynchronous ones.
 */
export class HookRunner {
  readonly #pending = new Set<PendingHook>();
  #idleWaiters: (() => void)[] = [];

  constructor(
    private readonly logger: HookLogger,
    private readonly now: () => number,
  ) {}

  run(kind: HookKind, session: SseSession, call: () => unknown): void {
    const name = `The ${kind} hook of session ${session.id} (${session.route})`;
    try {
      const result = call();
      if (isThenable(result)) this.#track(name, result);
    } catch (error) {
      this.#log(name, 'threw', error);
    }
  }

  /** Resolves when no asynchronous hook is under way. */
  idle(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Reports, once each, the hooks that have been under way for too long; all of them at a shutdown's end. */
  reportHanging(longerThanMs = HANGING_MS): void {
    for (const hook of this.#pending) {
      const elapsed = this.now() - hook.since;
      if (hook.warned || elapsed < longerThanMs) continue;
      hook.warned = true;
      this.logger.warn(`${hook.name} has not settled for ${Math.round(elapsed)} ms. Nothing waits for it, but what it holds is not freed.`);
    }
  }

  #track(name: string, result: PromiseLike<unknown>): void {
    const hook: PendingHook = { name, since: this.now(), warned: false };
    this.#pending.add(hook);
    // a thenable's own then() may throw, a promise's does not
    Promise.resolve(result).then(
      () => this.#settle(hook),
      (error: unknown) => {
        this.#log(name, 'rejected', error);
        this.#settle(hook);
      },
    );
  }

  #settle(hook: PendingHook): void {
    this.#pending.delete(hook);
    if (this.#pending.size > 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #log(name: string, verb: string, error: unknown): void {
    this.logger.error(`${name} ${verb}: ${describeError(error)}`, stackOf(error));
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}
