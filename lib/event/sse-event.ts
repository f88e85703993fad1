import { assertSingleCopy } from '../copies.js';
import { SseSessionError, show } from '../errors.js';
import { type EncodedEvent, type EventFields, encode, idLine, withId } from './encode.js';
import { serializeData, serializeJson } from './serialize.js';

/** The fields of an event (WHATWG HTML, section 9.2.6). */
export interface SseEventInit<T = unknown> {
  /** A string is sent as it is, line by line; anything else as JSON (`null` too). */
  data?: T;
  /** The name that `addEventListener` takes; without one it is a `message`. No CR, LF or NUL; empty is none. */
  type?: string | undefined;
  /** What the client sends back as `Last-Event-ID`. No CR, LF or NUL; a number is taken as its text; empty clears the client's last id. */
  id?: string | number | undefined;
  /** The client's reconnection time in whole milliseconds, 0 or more. */
  retry?: number | undefined;
  /** A comment, which no client shows. */
  comment?: string | undefined;
}

/** What can be sent: an event, or the data of one. Bytes, promises and `undefined` are refused. */
export type Sendable = SseEvent | SseEventInit | string | number | boolean | object | null;

const FIELDS: ReadonlySet<string> = new Set(['data', 'type', 'id', 'retry', 'comment']);

/** An event, checked and encoded once however many sessions get it. Immutable; made by {@link sseEvent}. */
export class SseEvent implements EventFields {
  declare readonly data?: string;
  declare readonly type?: string;
  declare readonly id?: string;
  declare readonly retry?: number;
  declare readonly comment?: string;
  readonly #encoded: EncodedEvent;

  /** @internal */
  constructor(fields: EventFields, encoded = encode(fields)) {
    Object.assign(this, fields);
    if (fields.data !== undefined) this.data = dataWithin(encoded.text, fields);
    this.#encoded = encoded;
    Object.freeze(this);
  }

  /** @internal */
  static encoded(event: SseEvent): EncodedEvent {
    return event.#encoded;
  }

  /** @internal The same event with an id of ASCII, which is not encoded again. */
  static withId(event: SseEvent, id: string): SseEvent {
    return new SseEvent({ ...event, id }, withId(event.#encoded, id));
  }
}

/**
 * The data as the slice of the text that it is: V8 copies no slice, so that the event is in memory once, not twice. Not if it has line
 * breaks, as there the text has field names within.
 */
function dataWithin(text: string, { data = '', id }: EventFields): string {
  const end = text.length - `\n${idLine(id)}\n`.length;
  const slice = text.slice(end - data.length, end);
  return slice === data ? slice : data;
}

/**
 * Makes an event that any number of sessions can be sent; its `data`, if it is not a string, is serialized as JSON here and now.
 *
 * @throws SseSessionError `INVALID_EVENT` for a CR, LF or NUL in `id` or `type`, a `retry` that is no whole number, an unknown field, a
 * `type` without `data` (no client would ever dispatch it) or an event without any field; `SERIALIZATION_FAILED` for data that is no JSON.
 */
export function sseEvent<T = unknown>(init: SseEventInit<T>): SseEvent {
  assertSingleCopy();
  if (typeof init !== 'object' || init === null)
    throw invalid(`sseEvent() takes an object with data, type, id, retry or comment; got ${show(init)}`);
  for (const key of Object.keys(init)) {
    if (!FIELDS.has(key)) throw invalid(`sseEvent() got the unknown field ${show(key)}; expected data, type, id, retry or comment`);
  }
  return new SseEvent(checkFields(init, init.data === undefined ? undefined : serializeData(init.data, serializeJson)));
}

/** Whether a plain object is an event to the eyes of `emit: 'event'`: it has `data`, and nothing that an event has not. */
export function looksLikeEvent(value: object): value is SseEventInit {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  let hasData = false;
  for (const key in value) {
    if (!FIELDS.has(key)) return false;
    if (key === 'data') hasData = true;
  }
  return hasData;
}

export function checkFields(init: SseEventInit, data: string | undefined): EventFields {
  const fields: { -readonly [K in keyof EventFields]: EventFields[K] } = {};
  if (data !== undefined) fields.data = data;
  if (init.type !== undefined && init.type !== '') fields.type = singleLine('type', init.type);
  if (init.id !== undefined)
    fields.id = singleLine('id', typeof init.id === 'number' && Number.isFinite(init.id) ? String(init.id) : init.id);
  if (init.retry !== undefined) fields.retry = wholeNumber(init.retry);
  if (init.comment !== undefined) fields.comment = text('comment', init.comment);
  if (fields.type !== undefined && data === undefined) {
    throw invalid(
      `An event of type ${show(fields.type)} has no data, so no client would dispatch it (WHATWG HTML, 9.2.6); give it data, if only ''`,
    );
  }
  if (Object.keys(fields).length === 0) throw invalid('An event has no field at all; expected data, id, retry or comment');
  return fields;
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(`The ${field} of an event is ${show(value)}; expected a string`);
  return value;
}

/** Rejects, never strips: what would end the line here would start a field of somebody else's making. */
function singleLine(field: string, value: unknown): string {
  const line = text(field, value);
  if (/[\r\n\0]/.test(line)) throw invalid(`The ${field} of an event is ${show(line)}; expected no CR, LF or NUL`);
  return line;
}

function wholeNumber(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalid(`The retry of an event is ${show(value)}; expected a whole number of milliseconds, 0 or more`);
  }
  return value as number;
}

function invalid(message: string): SseSessionError {
  return new SseSessionError('INVALID_EVENT', `${message}.`);
}
