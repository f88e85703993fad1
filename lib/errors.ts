/** Stable codes of {@link SseSessionError}; `docs/errors.md` says of each what it means and what to do. */
export const ERROR_CODES = [
  'INVALID_OPTION',
  'INVALID_FILTER',
  'INVALID_EVENT',
  'INVALID_SOURCE',
  'INVALID_HOOK',
  'INVALID_CHANNEL',
  'SERIALIZATION_FAILED',
  'SESSION_CLOSED',
  'SLOW_CLIENT',
  'DEAD_PEER',
  'REQUEST_ABANDONED',
  'RESPONSE_TAKEN',
  'NO_SESSION',
  'MODULE_MISSING',
  'UNMANAGED_OVERRIDE',
  'CONFLICTING_DECORATORS',
  'UNSUPPORTED_ADAPTER',
  'DUPLICATE_LIBRARY',
  'DUPLICATE_MODULE',
] as const;

export type SseSessionErrorCode = (typeof ERROR_CODES)[number];

/**
 * Every error that this library makes itself. `code` is stable and meant for programs; `message` is meant for people and says what was
 * expected, what came and what to do.
 */
export class SseSessionError extends Error {
  override readonly name = 'SseSessionError';

  constructor(
    readonly code: SseSessionErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/*
 * What a user's code throws or emits may be anything: a revoked Proxy, an object without a prototype, a getter that throws. What describes
 * it for a message never throws itself.
 */
function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** What was thrown, as a line for a log. */
export function describeError(error: unknown): string {
  return attempt(() => String(error), show(error));
}

export function stackOf(error: unknown): string | undefined {
  return attempt(() => (error instanceof Error ? error.stack : undefined), undefined);
}

/** How a value of unknown type is shown in a message: short. */
export function show(value: unknown): string {
  return attempt(() => describe(value), 'something that cannot be shown');
}

/** A promise that was refused still has an owner, so that its rejection is nobody's surprise. */
export function disown(value: unknown): void {
  attempt(() => void Promise.resolve(value).catch(() => undefined), undefined);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'function') return `a function${value.name ? ` (${value.name})` : ''}`;
  if (typeof value !== 'object' || value === null) return String(value);
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null)?.constructor?.name;
  return Array.isArray(value) ? 'an array' : `an object${name && name !== 'Object' ? ` (${name})` : ''}`;
}
