import { SseSessionError } from '../errors.js';
import { AUTHORIZATION_DEFAULTS, DEFAULTS } from './defaults.js';
import type {
  AuthorizationOptions,
  Complete,
  DeadPeerOptions,
  EndEventOptions,
  HeartbeatOptions,
  ResolvedLimit,
  ResolvedRouteOptions,
  RouteOptions,
  ShutdownOptions,
  SseSessionModuleOptions,
  StreamOptions,
} from './options.js';
import { checkModuleOptions } from './schema.js';

/** The module's options with every default in its place. */
export interface ResolvedModuleOptions {
  readonly given: SseSessionModuleOptions;
  readonly maxTotalBytes: number;
  readonly cleanup: { intervalMs: number };
  readonly shutdown: Complete<ShutdownOptions>;
}

/** The later layers win, key by key; what is `undefined` is not there. */
function merge<T extends object>(...layers: (object | undefined)[]): T {
  const merged: Record<string, unknown> = {};
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer ?? {})) {
      if (value !== undefined) merged[key] = value;
    }
  }
  return merged as T;
}

/** A group that can be switched off: the innermost layer that says anything decides whether it is on. */
function mergeOrFalse<T extends object>(
  defaults: T | false,
  outer: object | false | undefined,
  inner: object | false | undefined,
): T | false {
  const decisive = inner ?? outer ?? defaults;
  if (decisive === false) return false;
  return merge<T>(defaults || undefined, outer || undefined, inner || undefined);
}

/** A route has the module's limit beside its own; its `false` lifts both. */
function limit(outer: number | false = false, inner?: number | false): ResolvedLimit {
  return { process: inner === false ? false : outer, route: inner ?? false };
}

export function resolveModuleOptions(given: SseSessionModuleOptions = {}): ResolvedModuleOptions {
  checkModuleOptions(given);
  const resolved = {
    given,
    maxTotalBytes: given.maxTotalBytes ?? DEFAULTS.maxTotalBytes,
    cleanup: merge(DEFAULTS.cleanup, given.cleanup),
    shutdown: merge(DEFAULTS.shutdown, given.shutdown),
  } as ResolvedModuleOptions;
  checkPolicy(given.limits?.perPrincipalPolicy, 'the module');
  checkFinish(resolved.shutdown.finishMs, resolved, 'shutdown.finishMs');
  return resolved;
}

export function resolveRouteOptions(module: ResolvedModuleOptions, route: RouteOptions, name: string): ResolvedRouteOptions {
  const outer = module.given;
  const finishMs = route.shutdown?.finishMs ?? module.shutdown.finishMs;
  checkFinish(finishMs, module, `shutdown.finishMs of ${name}`);
  checkPolicy(route.limits?.perPrincipalPolicy ?? outer.limits?.perPrincipalPolicy, name);
  const plain = merge<StreamOptions>(DEFAULTS, outer, route);
  return {
    ...(plain as Omit<ResolvedRouteOptions, 'limits' | 'finishMs'>),
    heartbeat: mergeOrFalse<Complete<HeartbeatOptions>>(DEFAULTS.heartbeat, outer.heartbeat, route.heartbeat),
    endEvent: mergeOrFalse<EndEventOptions>(DEFAULTS.endEvent, outer.endEvent, route.endEvent),
    buffer: merge<ResolvedRouteOptions['buffer']>(DEFAULTS.buffer, outer.buffer, route.buffer),
    deadPeer: mergeOrFalse<Complete<DeadPeerOptions>>(DEFAULTS.deadPeer, outer.deadPeer, route.deadPeer),
    authorization: authorization(outer.authorization, route.authorization, name),
    limits: {
      perPrincipalPolicy: route.limits?.perPrincipalPolicy ?? outer.limits?.perPrincipalPolicy ?? DEFAULTS.limits.perPrincipalPolicy,
      maxConnections: limit(outer.limits?.maxConnections, route.limits?.maxConnections),
      maxPerPrincipal: limit(outer.limits?.maxPerPrincipal, route.limits?.maxPerPrincipal),
      maxPerSocket: route.limits?.maxPerSocket ?? outer.limits?.maxPerSocket ?? DEFAULTS.limits.maxPerSocket,
    },
    principal: route.principal ?? outer.principal,
    key: route.key ?? outer.key,
    finishMs,
  };
}

function authorization(
  outer: StreamOptions['authorization'],
  route: StreamOptions['authorization'],
  name: string,
): ResolvedRouteOptions['authorization'] {
  const merged = mergeOrFalse<AuthorizationOptions & { intervalMs: number }>(false, outer, route);
  if (merged === false) return false;
  if (merged.revalidate || merged.expiresAt) return merge(AUTHORIZATION_DEFAULTS, merged);
  throw new SseSessionError(
    'INVALID_OPTION',
    `SseSessionModule option "authorization" of ${name} has neither "revalidate" nor "expiresAt"; expected at least one, or false.`,
  );
}

/** An evicted tab would come back by itself and evict in turn, unless it can be told to stay away. */
function checkPolicy(policy: string | undefined, name: string): void {
  if (policy !== 'evict-oldest') return;
  throw new SseSessionError(
    'INVALID_OPTION',
    `SseSessionModule option "limits.perPrincipalPolicy" of ${name} is "evict-oldest", which needs resume: an evicted client comes back by itself, and evicts in turn. Expected 'reject'.`,
  );
}

function checkFinish(finishMs: number, module: ResolvedModuleOptions, what: string): void {
  if (finishMs <= module.shutdown.timeoutMs) return;
  throw new SseSessionError(
    'INVALID_OPTION',
    `SseSessionModule option "${what}" is ${finishMs}; expected at most shutdown.timeoutMs (${module.shutdown.timeoutMs}), as the shutdown ends then.`,
  );
}
