import { SseSessionError, show } from '../errors.js';
import type { ManagedSession } from '../session/managed-session.js';
import type { SessionState } from '../session/state.js';

/** Which sessions: those that match every key that is given. */
export interface SessionFilter {
  principal?: string;
  key?: string;
  /** Method and path pattern, such as `GET /chat/:id/stream`. */
  route?: string;
  state?: SessionState;
}

const KEYS: readonly (keyof SessionFilter)[] = ['principal', 'key', 'route', 'state'];

/**
 * @throws SseSessionError `INVALID_FILTER` for an empty filter, an unknown key, or a key whose value is not a string:
 * `{ principal: user?.id }` must never mean everybody.
 */
export function matcher(filter: SessionFilter): (session: ManagedSession) => boolean {
  if (typeof filter !== 'object' || filter === null) throw invalid(`is ${show(filter)}`);
  const wanted = Object.entries(filter) as [keyof SessionFilter, unknown][];
  if (wanted.length === 0) throw invalid('is empty');
  for (const [key, value] of wanted) {
    if (!KEYS.includes(key)) throw invalid(`has the unknown key ${show(key)}`);
    if (typeof value !== 'string') throw invalid(`has ${show(value)} as its ${key}`);
  }
  return (session) => wanted.every(([key, value]) => session[key] === value);
}

function invalid(what: string): SseSessionError {
  return new SseSessionError(
    'INVALID_FILTER',
    `A session filter ${what}; expected an object with at least one of principal, key, route or state, each a string. To reach every session, iterate over the manager.`,
  );
}
