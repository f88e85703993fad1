import type { Random } from '../clock/clock.js';

/** Up to a half on top of the retry, so that clients that were cut together do not come back together. */
const RETRY_JITTER = 0.5;

/** The opening line that tells a client when to come back; empty when it is told nothing. */
export function retryLine(retryMs: number | false, random: Random): string {
  return retryMs === false ? '' : `retry: ${Math.round(retryMs * (1 + RETRY_JITTER * random()))}\n`;
}
