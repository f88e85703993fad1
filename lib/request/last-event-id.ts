import type { IncomingHttpHeaders } from 'node:http';
import { parseResumeId } from '../resume/resume-id.js';
import type { ManagedSession } from '../session/managed-session.js';

/**
 * The id that a client came back with: the `Last-Event-ID` header (WHATWG HTML, 9.2.4), else the query parameter `lastEventId`, as a
 * reloaded page has no header. Browsers send the header as UTF-8, which Node reads as Latin-1.
 */
export function lastEventIdOf(headers: IncomingHttpHeaders, query: Readonly<Record<string, unknown>>): string | undefined {
  const header = headers['last-event-id'];
  if (typeof header === 'string' && header !== '') return decodeUtf8(header);
  const { lastEventId } = query;
  return typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : undefined;
}

function decodeUtf8(header: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(header, 'latin1'));
  } catch {
    // not UTF-8, so it is what Node made of it
    return header;
  }
}

/** The same for a handler, which is not told the ids of its resumable session: to come back by them is the library's business. */
export function lastEventIdFor(
  session: ManagedSession | undefined,
  headers: IncomingHttpHeaders,
  query: Readonly<Record<string, unknown>>,
): string | undefined {
  const id = lastEventIdOf(headers, query);
  return id !== undefined && session?.options.resume && parseResumeId(id) ? undefined : id;
}
