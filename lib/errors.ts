/** Stable codes of {@link SseSessionError}; `docs/errors.md` says of each what it means and what to do. */
export const ERROR_CODES = [
  'INVALID_OPTION',
  'INVALID_FILTER',
  'INVALID_EVENT',
  'INVALID_SOURCE',
  'INVALID_HOOK',
  'SERIALIZATION_FAILED',
  'SESSION_CLOSED',
  'SLOW_CLIENT',
  'REQUEST_ABANDONED',
  'RESPONSE_TAKEN',
  'NO_SESSION',
  'MODULE_MISSING',
  'UNMANAGED_OVERRIDE',
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

/** What was thrown, as a line for a log: never throwing itself, whatever a user's code threw. */
export function describeError(error: unknown): string {
  try {
    return String(error);
  } catch {
    return show(error);
  }
}

export function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

/** How a value of unknown type is shown in a message: short, and never throwing. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'function') return `a function${value.name ? ` (${value.name})` : ''}`;
  if (typeof value !== 'object' || value === null) return String(value);
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null)?.constructor?.name;
  return Array.isArray(value) ? 'an array' : `an object${name && name !== 'Object' ? ` (${name})` : ''}`;
}
