import type { ConnectionEnd } from '../connection/connection-end.js';
import { SseSessionError } from '../errors.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { SseSession } from './sse-session.js';

function name(session: SseSession): string {
  return `session ${session.id} (${session.route})`;
}

export function slowClient(session: SseSession, what: string): SseSessionError {
  return new SseSessionError('SLOW_CLIENT', `The client of ${name(session)} does not read: ${what}.`);
}

/** What a source emitted was refused: the same error, with the source's name. */
export function refusedValue({ route }: SseSession, error: unknown): unknown {
  if (!(error instanceof SseSessionError)) return error;
  return new SseSessionError(error.code, `The source of ${route} emitted what cannot be sent. ${error.message}`, {
    cause: error.cause ?? error,
  });
}

export function overflowed(
  session: SseSession,
  { buffer: { maxBytes }, resume }: Pick<ResolvedRouteOptions, 'buffer' | 'resume'>,
): SseSessionError {
  if (session.openedAt !== undefined) return slowClient(session, `more than buffer.maxBytes (${maxBytes}) wait for it`);
  return new SseSessionError(
    'SLOW_CLIENT',
    `More than buffer.maxBytes (${maxBytes})${resume ? `, or than resume keeps (${resume.maxEvents} events, ${resume.maxBytes} bytes),` : ''} was sent before ${name(session)} opened. Return an (async) iterable, which is read at the client's pace, or await session.flushed() in between.`,
  );
}

export function answeredElsewhere(session: SseSession): SseSessionError {
  return new SseSessionError(
    'RESPONSE_TAKEN',
    `Another part of the application has answered the request of ${name(session)} before it opened.`,
  );
}

export function abandoned(session: SseSession): SseSessionError {
  return new SseSessionError('REQUEST_ABANDONED', `An outer interceptor gave up on ${name(session)} before it opened.`);
}

export function endedBeforeFlush(session: SseSession): SseSessionError {
  return new SseSessionError('SESSION_CLOSED', `The ${name(session)} ended (${session.closeReason}) before all that was sent had left.`);
}

/** What a session's `signal` is aborted with: the name is what `fetch` and the LLM SDKs know. */
export function abortReason(session: SseSession): DOMException {
  return new DOMException(`The ${name(session)} has ended: ${session.closeReason}`, 'AbortError');
}

/** What a session fails with whose client does not read, has vanished, or has lost its response to somebody else. */
export function lossOf(
  end: Exclude<ConnectionEnd, 'left'>,
  session: SseSession,
  { buffer, deadPeer, resume }: Pick<ResolvedRouteOptions, 'buffer' | 'deadPeer' | 'resume'>,
): SseSessionError {
  switch (end) {
    case 'overflowed':
      return overflowed(session, { buffer, resume });
    case 'stalled':
      return slowClient(session, `nothing moved for ${buffer.stallTimeoutMs} ms`);
    case 'crowded-out':
      return slowClient(session, 'more than maxTotalBytes wait in the process, and much of that for it');
    case 'dead':
      return new SseSessionError(
        'DEAD_PEER',
        `The client of ${name(session)} has vanished: it acknowledged nothing for deadPeer.timeoutMs${deadPeer ? ` (${deadPeer.timeoutMs})` : ''}.`,
      );
    case 'finished':
      return new SseSessionError(
        'RESPONSE_TAKEN',
        `Another part of the application has ended the response of ${name(session)}; an outer interceptor that failed on the undefined it gets?`,
      );
  }
}

/** With `resume` the ids are the library's, as they say where a client comes back to. */
export function ownId(session: SseSession): SseSessionError {
  return new SseSessionError(
    'INVALID_EVENT',
    `An event of ${name(session)} has an id of its own, but with "resume" the session gives the ids. Leave it out, or put it into the data; a handler that returns ` +
      'the stream of a channel as it is, unmerged, keeps the ids of the channel; or switch "resume" off for the route.',
  );
}
