import type { ConnectionEnd } from '../connection/connection-end.js';
import type { CloseReason } from '../options/close-reasons.js';

/**
 * The life of a session:
 *
 *   connecting --> open --> closing --> closed
 *      |  |        |  ^       ^           ^
 *      |  |        v  |       |           |
 *      |  +<---> detached ----+           |      (only with `resume`: no client is attached)
 *      +----------------------------------+      (failed or left before it opened)
 */
export type SessionState = 'connecting' | 'open' | 'detached' | 'closing' | 'closed';

const TRANSITIONS: Readonly<Record<SessionState, readonly SessionState[]>> = {
  connecting: ['open', 'detached', 'closed'],
  open: ['detached', 'closing', 'closed'],
  detached: ['connecting', 'open', 'closing', 'closed'],
  closing: ['closed'],
  closed: [],
};

/** Whether the table allows the step; what it does not allow is a late caller, who is ignored. */
export function canGo(from: SessionState, to: SessionState): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Ends after which nothing more can reach the client: the connection is cut, or gone already. */
const ABRUPT: ReadonlySet<CloseReason> = new Set<CloseReason>(['client-disconnect', 'slow-client', 'dead-peer']);

export function isAbrupt(reason: CloseReason): boolean {
  return ABRUPT.has(reason);
}

/** Ends that still open a session that was connecting: it did not fail, so the client gets its (short) stream. */
const GRACEFUL: ReadonlySet<CloseReason> = new Set<CloseReason>(['complete', 'cancelled', 'evicted']);

export function opensFirst(reason: CloseReason): boolean {
  return GRACEFUL.has(reason);
}

/** The hooks of an end, in their order. */
export type EndHook = 'timeout' | 'error' | 'completion';

const END_HOOKS: Readonly<Partial<Record<CloseReason, readonly EndHook[]>>> = {
  timeout: ['timeout', 'completion'],
  'idle-timeout': ['timeout', 'completion'],
  error: ['error', 'completion'],
  'slow-client': ['error', 'completion'],
  'dead-peer': ['error', 'completion'],
};

export function hooksOf(reason: CloseReason): readonly EndHook[] {
  return END_HOOKS[reason] ?? ['completion'];
}

/** Why a session ends when its connection does. */
export function reasonOf(end: ConnectionEnd): 'client-disconnect' | 'slow-client' | 'dead-peer' {
  switch (end) {
    case 'finished':
    case 'left':
      return 'client-disconnect';
    case 'dead':
      return 'dead-peer';
    case 'stalled':
    case 'overflowed':
    case 'crowded-out':
      return 'slow-client';
  }
}

/**
 * What becomes of a reason when the connection ends while the session is closing: only `complete` can still turn out not to have been
 * one, as the client did not get everything.
 */
export function afterConnectionEnd(reason: CloseReason, end: ConnectionEnd): CloseReason {
  if (reason !== 'complete' || end === 'finished') return reason;
  return reasonOf(end) === 'slow-client' ? 'slow-client' : 'client-disconnect';
}
