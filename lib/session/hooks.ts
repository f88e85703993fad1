import { describeError, stackOf } from '../errors.js';
import type { SessionLogger } from './safe-logger.js';
import type { CloseReason } from '../options/close-reasons.js';
import { Stragglers, type StragglerKind } from './stragglers.js';
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

/** A hook that has not come back for so long is reported. */
const HANGING_HOOK: StragglerKind = {
  afterMs: 10_000,
  message: (name, elapsedMs) => `${name} has not settled for ${elapsedMs} ms. Nothing waits for it, but what it holds is not freed.`,
};

/**
 * Calls hooks, and keeps whatever they do to themselves: one that throws or rejects is logged, one that hangs is reported, and none
 * delays anything but a shutdown, which waits for the asynchronous ones.
 */
export class HookRunner {
  readonly #pending: Stragglers;

  constructor(
    private readonly logger: SessionLogger,
    now: () => number,
  ) {
    this.#pending = new Stragglers(HANGING_HOOK, logger, now);
  }

  run(kind: HookKind, session: SseSession, call: () => unknown): void {
    try {
      const result = call();
      if (isThenable(result)) this.#track(nameOf(kind, session), result);
    } catch (error) {
      this.#log(nameOf(kind, session), 'threw', error);
    }
  }

  /** Resolves when no asynchronous hook is under way. */
  idle(): Promise<void> {
    return this.#pending.idle();
  }

  /** Reports, once each, the hooks that have been under way for too long; all of them at a shutdown's end. */
  reportHanging(afterMs?: number): void {
    this.#pending.report(afterMs);
  }

  #track(name: string, result: PromiseLike<unknown>): void {
    const hook = this.#pending.add(name);
    // a thenable's own then() may throw, a promise's does not
    Promise.resolve(result).then(
      () => this.#pending.delete(hook),
      (error: unknown) => {
        this.#log(name, 'rejected', error);
        this.#pending.delete(hook);
      },
    );
  }

  #log(name: string, verb: string, error: unknown): void {
    this.logger.error(`${name} ${verb}: ${describeError(error)}`, stackOf(error));
  }
}

function nameOf(kind: HookKind, { id, route }: SseSession): string {
  return `The ${kind} hook of session ${id} (${route})`;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}
