import { describeError, stackOf } from '../errors.js';
import { type EncodedEvent, encode } from '../event/encode.js';
import { readEvent } from '../event/read-event.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { SessionLogger } from './safe-logger.js';
import { ownId } from './session-errors.js';
import type { SseSession } from './sse-session.js';

type Options = Pick<ResolvedRouteOptions, 'errorEvent' | 'endEvent' | 'serializer'>;

interface Circumstances {
  /** The client is told to come back for more. */
  readonly goesOn: boolean;
  /** The ids of the session's events are its own. */
  readonly givesIds: boolean;
}

/** What a client is told at an end that can still be written: what failed, and that it is over. */
export function lastEvents(
  session: SseSession,
  options: Options,
  { goesOn, givesIds }: Circumstances,
  logger: SessionLogger,
): EncodedEvent[] {
  const events = session.closeReason === 'error' ? errorEvent(session, options, givesIds, logger) : [];
  if (options.endEvent && !goesOn)
    events.push(encode({ type: options.endEvent.type, data: JSON.stringify({ reason: session.closeReason }) }));
  return events;
}

function errorEvent(
  session: SseSession,
  { errorEvent: factory, serializer }: Options,
  givesIds: boolean,
  logger: SessionLogger,
): EncodedEvent[] {
  if (factory === false) return [];
  try {
    const event = factory(session.error, session);
    if (event === null) return [];
    const encoded = readEvent(event, { emit: 'event', serializer });
    if (encoded.hasId && givesIds) throw ownId(session);
    return [encoded];
  } catch (failure) {
    logger.error(`The errorEvent of session ${session.id} (${session.route}) failed: ${describeError(failure)}`, stackOf(failure));
    return [encode({ type: 'error', data: 'Internal server error' })];
  }
}
