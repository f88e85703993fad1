import { SseSessionError, describeError, disown, show } from '../errors.js';

/** The default serializer. */
export function serializeJson(data: unknown): string {
  return JSON.stringify(data);
}

/**
 * The `data` of an event: a string as it is, all else through the serializer.
 * @throws SseSessionError `SERIALIZATION_FAILED` when the serializer throws or gives no string, `INVALID_EVENT` for `undefined`.
 */
export function serializeData(data: unknown, serializer: (data: unknown) => string): string {
  if (typeof data === 'string') return data;
  if (data === undefined) {
    throw new SseSessionError(
      'INVALID_EVENT',
      'An event was undefined; expected a value (null is sent as the JSON null). Filter what is not meant for the client before it is emitted.',
    );
  }
  let text: unknown;
  try {
    text = serializer(data);
  } catch (error) {
    throw new SseSessionError(
      'SERIALIZATION_FAILED',
      `The data of an event (${show(data)}) could not be serialized: ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
  if (typeof text !== 'string') {
    disown(text);
    throw new SseSessionError('SERIALIZATION_FAILED', `The serializer gave ${show(text)} for ${show(data)}; expected a string.`);
  }
  return text;
}
