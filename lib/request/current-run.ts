import type { ManagedSession } from '../session/managed-session.js';
import type { SseSource } from '../source/sse-source.js';

/** The sessions of managed requests under way, by the framework's response, which both the interceptor and the handler's wrapper get. */
const sessions = new WeakMap<object, ManagedSession>();

export function bindSession(reply: object, session: ManagedSession): void {
  sessions.set(reply, session);
}

export function sessionOf(reply: unknown): ManagedSession | undefined {
  return typeof reply === 'object' && reply !== null ? sessions.get(reply) : undefined;
}

/**
 * Runs the handler of a managed request and hands what it returns to the session.
 * @returns what Nest's interceptors get to see: the values of the source, or nothing when there is none to see them
 */
export function runHandler(
  session: ManagedSession,
  controller: unknown,
  handler: () => SseSource | Promise<SseSource>,
): Promise<unknown> | undefined {
  session.controller = controller;
  // it ended while a pipe was awaited: nobody is left to work for
  if (session.closeReason !== undefined) return undefined;
  return session.handle(handler);
}
