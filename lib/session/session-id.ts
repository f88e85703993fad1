import { randomUUID } from 'node:crypto';

/**
 * A new id. Node joins one out of some twenty pieces, all of which a string keeps for as long as it lives, 450 bytes of them; this copy is of one
 * piece and has 56.
 */
export function sessionId(): string {
  return Buffer.from(randomUUID(), 'latin1').toString('latin1');
}
