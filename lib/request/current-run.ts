import type { ManagedSession } from '../session/managed-session.js';
import type { SseSource } from '../source/sse-source.js';

/** A managed request under way, found by the framework's response, which both the interceptor and the handler's wrapper get. */
export interface Run {
  readonly session: ManagedSession;
  /** No interceptor stands between the source and the session, so that what it emits need not pass through Nest. */
  readonly isDirect: boolean;
}

const runs = new WeakMap<object, Run>();

export function beginRun(reply: object, run: Run): void {
  runs.set(reply, run);
}

export function runOf(reply: unknown): Run | undefined {
  return typeof reply === 'object' && reply !== null ? runs.get(reply) : undefined;
}

/**
 * Runs the handler of a managed request and hands what it returns to the session.
 * @returns what Nest's interceptors get to see: the values of the source, or nothing when there is none to see them
 */
export function runHandler(
  { session, isDirect }: Run,
  controller: unknown,
  handler: () => SseSource | Promise<SseSource>,
): Promise<unknown> | undefined {
  session.controller = controller;
  // it ended while a pipe was awaited: nobody is left to work for
  if (session.closeReason !== undefined) return undefined;
  return session.handle(handler, isDirect);
}
