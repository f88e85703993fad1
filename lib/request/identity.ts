import type { ExecutionContext } from '@nestjs/common';
import { SseSessionError, disown, show } from '../errors.js';
import type { AuthorizationOptions } from '../options/options.js';
import type { SessionIdentity } from '../session/session-context.js';
import type { HttpExchange } from './http-exchange.js';
import type { ManagedRoute } from './route-table.js';

/**
 * Who asks for what, by the options of the route.
 * @throws SseSessionError `INVALID_OPTION` when one of them gives what it must not
 */
export function identityOf(
  context: ExecutionContext,
  exchange: HttpExchange,
  { options, hooks }: ManagedRoute,
  name: string,
): SessionIdentity {
  // not spread from the route: V8 would give each such object a shape of its own, 290 bytes
  return {
    route: name,
    options,
    hooks,
    principal: identify('principal', options.principal, context, name),
    key: identify('key', options.key, context, name),
    remoteAddress: exchange.remoteAddress,
    path: options.resume ? exchange.path : undefined,
    authorizedUntil: options.authorization ? expiryOf(options.authorization, context, name) : undefined,
  };
}

function identify(
  what: 'principal' | 'key',
  option: ((context: ExecutionContext) => string | undefined) | undefined,
  context: ExecutionContext,
  route: string,
): string | undefined {
  const value: unknown = option?.(context);
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  disown(value);
  throw new SseSessionError(
    'INVALID_OPTION',
    `The option "${what}" of ${route} gave ${show(value)}; expected a string or undefined, and no promise of one.`,
  );
}

function expiryOf({ expiresAt }: AuthorizationOptions, context: ExecutionContext, route: string): number | undefined {
  const value: unknown = expiresAt?.(context);
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value) && !looksLikeSeconds(value))) return value;
  disown(value);
  throw new SseSessionError(
    'INVALID_OPTION',
    `The option "authorization.expiresAt" of ${route} gave ${show(value)}; expected epoch milliseconds (of a JWT: exp * 1000) or undefined, and no promise of them.`,
  );
}

/** Times between 1971 and 5138 in seconds are years before any token in milliseconds. */
function looksLikeSeconds(time: number): boolean {
  return time > 31_536_000 && time < 100_000_000_000;
}
