export const CLOSE_REASONS = [
  'complete',
  'client-disconnect',
  'timeout',
  'idle-timeout',
  'error',
  'slow-client',
  'dead-peer',
  'cancelled',
  'evicted',
  'unauthorized',
  'shutdown',
] as const;

/** Why a session ended; the README has the table. */
export type CloseReason = (typeof CLOSE_REASONS)[number];
