import { randomBytes } from 'node:crypto';
import type { Position } from '../log/event-log.js';

/** Eight characters of base64url: never the 22 of another token. */
const EPOCH_BYTES = 6;

/** The name of a log that begins now: random, so that no id of an earlier one is taken for its own. */
export function newEpoch(): string {
  return randomBytes(EPOCH_BYTES).toString('base64url');
}

/** Where an event of the channels stands, as clients send it back: `<epoch>:<offset>`. */
export function formatId(epoch: string, position: Position): string {
  return `${epoch}:${position}`;
}

const ID = /^([A-Za-z0-9_-]+):(0|[1-9][0-9]*)$/;

/** `undefined` for anything that {@link formatId} has not made. */
export function parseId(id: string): { readonly epoch: string; readonly position: Position } | undefined {
  const [, epoch, digits] = ID.exec(id) ?? [];
  const position = Number(digits);
  return epoch !== undefined && Number.isSafeInteger(position) ? { epoch, position } : undefined;
}
