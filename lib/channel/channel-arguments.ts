import { SseSessionError, show } from '../errors.js';
import type { ChannelStreamOptions } from './channel.js';

const MAX_NAME_LENGTH = 256;
const OPTIONS: readonly string[] = ['after', 'replay'] satisfies (keyof ChannelStreamOptions)[];

/** @throws SseSessionError `INVALID_CHANNEL` */
export function checkName(name: unknown): string {
  if (typeof name === 'string' && name !== '' && name.length <= MAX_NAME_LENGTH) return name;
  const got = typeof name === 'string' && name !== '' ? `${name.length} characters long` : show(name);
  throw invalid(`The name of a channel is ${got}; expected a string of 1 to ${MAX_NAME_LENGTH} characters`);
}

/** @throws SseSessionError `INVALID_CHANNEL` */
export function checkNames(names: unknown): ReadonlySet<string> {
  if (!Array.isArray(names)) throw invalid(`stream() got ${show(names)}; expected an array of the names of channels`);
  if (names.length === 0) throw invalid('stream() got no channel, so it would never emit; expected at least one name');
  return new Set(names.map(checkName));
}

/** @throws SseSessionError `INVALID_CHANNEL` */
export function checkStreamOptions(options: unknown): ChannelStreamOptions {
  if (typeof options !== 'object' || options === null)
    throw invalid(`stream() got ${show(options)}; expected an object with after, replay`);
  for (const key of Object.keys(options)) {
    if (!OPTIONS.includes(key)) throw invalid(`stream() got the unknown option ${show(key)}; expected after, replay`);
  }
  const { after, replay } = options as Record<keyof ChannelStreamOptions, unknown>;
  if (after !== undefined && typeof after !== 'string') {
    throw invalid(`The after of a stream is ${show(after)}; expected the id that @LastEventId() or position() gave, or undefined`);
  }
  if (replay !== undefined && !(Number.isSafeInteger(replay) && (replay as number) >= 1)) {
    throw invalid(`The replay of a stream is ${show(replay)}; expected a whole number of events, 1 or more, or undefined for none`);
  }
  return { after: after === '' ? undefined : after, replay: replay as number | undefined };
}

function invalid(message: string): SseSessionError {
  return new SseSessionError('INVALID_CHANNEL', `${message}.`);
}
