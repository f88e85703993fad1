import type { IncomingHttpHeaders } from 'node:http';
import Negotiator from 'negotiator';

const EVENT_STREAM = 'text/event-stream';

/** Whether a client can take a stream of events; one that says nothing takes everything (RFC 9110, 12.5.1). */
export function acceptsEventStream(headers: IncomingHttpHeaders): boolean {
  return saysOnlyThat(headers) || negotiator(headers).mediaType([EVENT_STREAM]) !== undefined;
}

/** Whether a client names the type: a wildcard names nothing. */
export function namesEventStream(headers: IncomingHttpHeaders): boolean {
  return saysOnlyThat(headers) || (acceptsEventStream(headers) && negotiator(headers).mediaTypes().includes(EVENT_STREAM));
}

/** As every `EventSource` does, so that there is nothing to negotiate. */
function saysOnlyThat({ accept }: IncomingHttpHeaders): boolean {
  return accept === EVENT_STREAM;
}

/** Every parameter but the weight, such as a charset, or the version of Nest's media type versioning. */
const PARAMETER = /;(?!\s*q\s*=)[^;,="]+(=\s*("[^"]*"|[^;,]*))?/g;

/** An empty header says nothing. */
function negotiator({ accept }: IncomingHttpHeaders): Negotiator {
  return new Negotiator({ headers: { accept: accept?.toLowerCase().replace(PARAMETER, '') || undefined } });
}
