import { serializeJson } from '../event/serialize.js';
import type { CloseReason } from './close-reasons.js';
import { errorMessage } from './error-message.js';

/** The one place where defaults stand. */
export const DEFAULTS = {
  heartbeat: { intervalMs: 15_000, comment: 'heartbeat' },
  timeoutMs: 1_800_000,
  idleTimeoutMs: false,
  retryMs: 2_000,
  openOn: 'handler',
  emit: 'event',
  serializer: serializeJson,
  errorEvent: (error: unknown) => ({ type: 'error', data: errorMessage(error) }),
  endEvent: false,
  buffer: { maxBytes: 1_048_576, overflow: 'close', stallTimeoutMs: 30_000 },
  deadPeer: { timeoutMs: 30_000 },
  authorization: false,
  limits: { maxConnections: false, maxPerPrincipal: false, maxPerSocket: false, perPrincipalPolicy: 'reject' },
  refusal: 'retry',
  resume: false,
  afterEnd: false,
  maxTotalBytes: 268_435_456,
  resumeMaxTotalBytes: 268_435_456,
  channels: { maxBytes: 67_108_864, maxAgeMs: 300_000 },
  cleanup: { intervalMs: 30_000 },
  shutdown: { timeoutMs: 10_000, finishMs: 0, retryJitterMs: 5_000 },
} as const;

/*
 * Of groups that are switched off by default: what they have when they are on.
 */
export const AUTHORIZATION_DEFAULTS = { intervalMs: 60_000 } as const;
export const RESUME_DEFAULTS = { graceMs: 30_000, maxEvents: 20_000, maxBytes: 8_388_608, onDisconnect: 'detach' } as const;
/** After these a client is stopped: an LLM call that fails must not be paid for every two seconds. */
export const STOPS_AFTER: readonly CloseReason[] = ['complete', 'cancelled', 'evicted', 'error', 'timeout', 'idle-timeout'];
