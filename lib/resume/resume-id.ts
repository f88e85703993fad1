import { randomBytes } from 'node:crypto';
import type { Position } from '../log/event-log.js';

/** The position of a stream that is over and to be left alone. */
export const END = 'end';

/** What the id of an event of a resumable session says: `<token>:<position>`, or `<token>:end`. */
export interface ResumeId {
  /** The secret that names the session to its client. */
  readonly token: string;
  /** Of the last event that the client has; 0 before the first. */
  readonly position: Position | typeof END;
}

/** A new secret of 128 random bits, in base64url: 22 characters. Whoever has it can read the session, so it is no `session.id`. */
export function resumeToken(): string {
  return randomBytes(16).toString('base64url');
}

const RESUME_ID = /^([\w-]{22}):(0|[1-9]\d{0,15}|end)$/;

/** Absent for anything that is no id of a resumable session. */
export function parseResumeId(id: string): ResumeId | undefined {
  const [, token, position] = RESUME_ID.exec(id) ?? [];
  if (token === undefined || position === undefined) return undefined;
  if (position === END) return { token, position };
  const number = Number(position);
  return Number.isSafeInteger(number) ? { token, position: number } : undefined;
}
