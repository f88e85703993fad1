import type { MaybePromise, Position } from '../log/event-log.js';
import { END, parseResumeId } from '../resume/resume-id.js';
import type { ResetReason } from '../event/reset.js';
import type { SessionDirectory } from '../resume/session-directory.js';
import type { LogAddress, SessionLog } from '../resume/session-log.js';

/** A log to be read on, from a position. */
export interface FoundLog {
  readonly log: SessionLog;
  /** What the client has of it. */
  readonly after: Position;
  /** Why it may have missed something. */
  readonly reset?: ResetReason | undefined;
}

/**
 * What a request for a resumable route wants:
 * - `log`: the rest of this log, of a session that lives or is over
 * - `nothing`: it has all of a session that is over, and is to be left alone
 * - `start`: a session of its own; with a reset when it may have missed something
 */
export type Return =
  (FoundLog & { readonly to: 'log' }) | { readonly to: 'nothing' } | { readonly to: 'start'; readonly reset?: ResetReason | undefined };

/** Finds what a client comes back to: by its id, else by the application's name for the session. */
export function findReturn(directory: SessionDirectory, address: LogAddress, lastEventId: string | undefined): MaybePromise<Return> {
  const found = lastEventId === undefined ? START : byId(directory, address, lastEventId);
  return found instanceof Promise ? found.then((known) => orByKey(directory, address, known)) : orByKey(directory, address, found);
}

const START = { to: 'start' } as const;

/** Whose the id is, another's or nobody's, is not told. */
function startAfter(reset: ResetReason): Return {
  return { to: 'start', reset };
}

function byId(directory: SessionDirectory, address: LogAddress, lastEventId: string): MaybePromise<Return> {
  const id = parseResumeId(lastEventId);
  if (!id) return startAfter('malformed');
  const { token, position } = id;
  if (position === END) return { to: 'nothing' };
  const found = directory.find(token);
  const judge = (log: SessionLog | undefined): Return => (log && isSame(log.address, address) ? at(log, position) : startAfter('unknown'));
  return found instanceof Promise ? found.then(judge) : judge(found);
}

function at(log: SessionLog, after: number): Return {
  if (log.ending?.after === 'restart') return { to: 'start', reset: log.ending.reset };
  if (after > log.tail) return startAfter('future');
  return log.ending && after === log.tail ? { to: 'nothing' } : { to: 'log', log, after };
}

/** What would start anew joins the live session of its key instead, from the beginning. */
function orByKey(directory: SessionDirectory, address: LogAddress, found: Return): MaybePromise<Return> {
  if (found.to !== 'start' || address.principal === undefined || address.key === undefined) return found;
  const { reset } = found;
  const join = (log: SessionLog | undefined): Return => (log ? { to: 'log', log, after: 0, reset } : found);
  const known = directory.findByKey(address);
  return known instanceof Promise ? known.then(join) : join(known);
}

/** Guards have let this request in; what they looked at must be the same. So must the key, if both have one: the application means another session. */
function isSame(one: LogAddress, other: LogAddress): boolean {
  const isSameKey = one.key === undefined || other.key === undefined || one.key === other.key;
  return isSameKey && one.principal === other.principal && one.route === other.route && one.path === other.path;
}
