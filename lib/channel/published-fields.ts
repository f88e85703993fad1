import { SseSessionError, describeError, show } from '../errors.js';
import type { EventFields } from '../event/encode.js';
import { readFields } from '../event/read-event.js';
import { DEFAULTS } from '../options/defaults.js';

/** Whatever the routes are set to that read it: an event is the same for all of them. */
const READING = { emit: DEFAULTS.emit, serializer: DEFAULTS.serializer };

/**
 * The fields of what is published.
 * @throws SseSessionError `INVALID_EVENT`, `SERIALIZATION_FAILED`
 */
export function publishedFields(event: unknown): EventFields {
  const fields = readPublished(event);
  if (fields.id !== undefined) {
    throw invalid(
      `has the id ${show(fields.id)}; the channel gives every event an id of its own, by which clients come back. Put yours into the data`,
    );
  }
  if (fields.data === undefined) throw invalid('has no data, so no client would dispatch it (WHATWG HTML, 9.2.6); give it data');
  return fields;
}

function readPublished(event: unknown): EventFields {
  try {
    return readFields(event, READING);
  } catch (error) {
    if (error instanceof SseSessionError) throw error;
    throw new SseSessionError('INVALID_EVENT', `An event cannot be read: ${describeError(error)}`, { cause: error });
  }
}

function invalid(what: string): SseSessionError {
  return new SseSessionError('INVALID_EVENT', `An event that is published to a channel ${what}.`);
}
