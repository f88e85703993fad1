import type { EventFields } from './encode.js';

/** The type of the event that tells a client that it may have missed something, so that what it shows may be wrong. */
const RESET = 'reset';

/**
 * Why a client could not be brought to where it was:
 * - `unknown`: nobody knows its id here (any more), or it is another's;
 * - `expired`: it came back too late: its session had ended for want of a client, after `resume.graceMs` or at once (`onDisconnect: 'cancel'`);
 * - `ended`: its session has ended for a reason after which a new one starts;
 * - `trimmed`: what it missed was more than the log keeps;
 * - `future`: the id is of an event that there has not been;
 * - `malformed`: the id is none of ours.
 */
export type ResetReason = 'unknown' | 'expired' | 'ended' | 'trimmed' | 'future' | 'malformed';

/** @param id where the client stands once it has heard of it, so that it hears of it once */
export function resetFields(reason: ResetReason, id: string): EventFields {
  return { type: RESET, data: JSON.stringify({ reason }), id };
}
