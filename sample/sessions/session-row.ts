import type { CloseReason, SseSession } from 'nestjs-sse-session';

/** A session as the page shows it. */
export interface SessionRow {
  id: string;
  mine: boolean;
  route: string;
  state: SseSession['state'];
  /** How many clients share it. */
  connections: number;
  key: string | null;
  reason: CloseReason | null;
  error: string | null;
  openedAt: number | null;
  endedAt: number | null;
  eventsSent: number;
  bytesSent: number;
  pendingBytes: number;
}

/** A session as the server remembers it: what it was, and no longer the session itself. */
export interface SessionRecord extends Omit<SessionRow, 'mine'> {
  owner: string | undefined;
}

export function recordOf(session: SseSession, endedAt: number | null = null): SessionRecord {
  return {
    owner: session.principal,
    id: session.id,
    route: session.route,
    state: session.state,
    connections: session.connections,
    key: session.key ?? null,
    reason: session.closeReason ?? null,
    error: session.error instanceof Error ? session.error.message : null,
    openedAt: session.openedAt ?? null,
    endedAt,
    eventsSent: session.eventsSent,
    bytesSent: session.bytesSent,
    pendingBytes: session.pendingBytes,
  };
}

/** The owner is left out for everybody, as it is the secret of a visitor; the key and the error for everybody else. */
export function seenBy(visitor: string, { owner, ...row }: SessionRecord): SessionRow {
  return owner === visitor ? { ...row, mine: true } : { ...row, mine: false, key: null, error: null };
}
