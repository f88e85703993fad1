import { SseSessionError, describeError, disown } from '../errors.js';
import { type EncodedEvent, type EventFields, encode, encodeData } from './encode.js';
import { SseEvent, checkFields, looksLikeEvent } from './sse-event.js';
import { serializeData } from './serialize.js';

/** How a route reads what its source emits and what `send` gets. */
export interface Reading {
  readonly emit: 'event' | 'payload';
  readonly serializer: (data: unknown) => string;
}

/**
 * Reads a value as an event: an {@link SseEvent} as it is; with `emit: 'event'` a plain object that has `data` and nothing foreign to an
 * event as that event; anything else as a payload, the data of an event.
 *
 * @throws SseSessionError `INVALID_EVENT` or `SERIALIZATION_FAILED`.
 */
export function readFields(value: unknown, reading: Reading): EventFields {
  if (value instanceof SseEvent) return value;
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    throw new SseSessionError(
      'INVALID_EVENT',
      'An event was bytes; expected text or an object. A source may emit bytes (they are decoded as one UTF-8 stream), a single event must be text.',
    );
  }
  if (typeof (value as { then?: unknown } | null | undefined)?.then === 'function') {
    disown(value);
    throw new SseSessionError('INVALID_EVENT', 'An event was a promise; await it before it is sent.');
  }
  if (reading.emit === 'event' && typeof value === 'object' && value !== null && looksLikeEvent(value)) {
    return checkFields(value, serializeData(value.data, reading.serializer));
  }
  return { data: serializeData(value, reading.serializer) };
}

/** {@link readFields}, then encoded: an {@link SseEvent} only once, a string without a detour. */
export function readEvent(value: unknown, reading: Reading): EncodedEvent {
  if (typeof value === 'string') return encodeData(value);
  try {
    if (value instanceof SseEvent) return SseEvent.encoded(value);
    return encode(readFields(value, reading));
  } catch (error) {
    if (error instanceof SseSessionError) throw error;
    throw new SseSessionError('INVALID_EVENT', `An event cannot be read: ${describeError(error)}`, { cause: error });
  }
}
