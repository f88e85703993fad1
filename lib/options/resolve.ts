import { CLOSE_REASONS } from './close-reasons.js';
import { AUTHORIZATION_DEFAULTS, DEFAULTS, RESUME_DEFAULTS, STOPS_AFTER } from './defaults.js';
import type {
  AuthorizationOptions,
  ChannelOptions,
  Complete,
  DeadPeerOptions,
  EndEventOptions,
  HeartbeatOptions,
  ResolvedLimit,
  ResolvedRouteOptions,
  ResumeOptions,
  RouteOptions,
  ShutdownOptions,
  SseSessionModuleOptions,
  StreamOptions,
} from './options.js';
import { MODULE_OWNER, checkModuleOptions, ownerOf, refuse } from './schema.js';

/** The module's options with every default in its place. */
export interface ResolvedModuleOptions {
  readonly given: SseSessionModuleOptions;
  readonly maxTotalBytes: number;
  readonly resumeMaxTotalBytes: number;
  readonly channels: Complete<ChannelOptions>;
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
function limit(outer: number | false, inner: number | false | undefined): ResolvedLimit {
  return { process: inner === false ? false : outer, route: inner ?? false };
}

export function resolveModuleOptions(given: SseSessionModuleOptions = {}): ResolvedModuleOptions {
  checkModuleOptions(given);
  const resolved = {
    given,
    maxTotalBytes: given.maxTotalBytes ?? DEFAULTS.maxTotalBytes,
    resumeMaxTotalBytes: given.resumeMaxTotalBytes ?? DEFAULTS.resumeMaxTotalBytes,
    channels: merge(DEFAULTS.channels, given.channels),
    cleanup: merge(DEFAULTS.cleanup, given.cleanup),
    shutdown: merge(DEFAULTS.shutdown, given.shutdown),
  } as ResolvedModuleOptions;
  checkTogether(mergeRoute(resolved, {}), resolved.shutdown, MODULE_OWNER);
  return resolved;
}

export function resolveRouteOptions(module: ResolvedModuleOptions, route: RouteOptions, name: string): ResolvedRouteOptions {
  const resolved = mergeRoute(module, route);
  const owner = ownerOf(name);
  checkTogether(resolved, module.shutdown, owner);
  checkEviction(resolved, owner);
  return resolved;
}

function mergeRoute(module: ResolvedModuleOptions, route: RouteOptions): ResolvedRouteOptions {
  const outer = module.given;
  const plain = merge<StreamOptions>(DEFAULTS, outer, route);
  return {
    ...(plain as Omit<ResolvedRouteOptions, 'limits' | 'finishMs'>),
    heartbeat: mergeOrFalse<Complete<HeartbeatOptions>>(DEFAULTS.heartbeat, outer.heartbeat, route.heartbeat),
    endEvent: mergeOrFalse<EndEventOptions>(DEFAULTS.endEvent, outer.endEvent, route.endEvent),
    buffer: merge<ResolvedRouteOptions['buffer']>(DEFAULTS.buffer, outer.buffer, route.buffer),
    deadPeer: mergeOrFalse<Complete<DeadPeerOptions>>(DEFAULTS.deadPeer, outer.deadPeer, route.deadPeer),
    authorization: authorization(outer.authorization, route.authorization),
    limits: {
      perPrincipalPolicy: route.limits?.perPrincipalPolicy ?? outer.limits?.perPrincipalPolicy ?? DEFAULTS.limits.perPrincipalPolicy,
      maxConnections: limit(outer.limits?.maxConnections ?? DEFAULTS.limits.maxConnections, route.limits?.maxConnections),
      maxPerPrincipal: limit(outer.limits?.maxPerPrincipal ?? DEFAULTS.limits.maxPerPrincipal, route.limits?.maxPerPrincipal),
      maxPerSocket: route.limits?.maxPerSocket ?? outer.limits?.maxPerSocket ?? DEFAULTS.limits.maxPerSocket,
    },
    principal: route.principal ?? outer.principal,
    key: route.key ?? outer.key,
    resume: resume(outer.resume, route.resume),
    afterEnd: afterEnd(outer.afterEnd, route.afterEnd),
    finishMs: route.shutdown?.finishMs ?? module.shutdown.finishMs,
  };
}

function resume(outer: StreamOptions['resume'], route: StreamOptions['resume']): ResolvedRouteOptions['resume'] {
  const merged = mergeOrFalse<ResumeOptions>(false, outer, route);
  return merged && merge(RESUME_DEFAULTS, merged);
}

function afterEnd(outer: StreamOptions['afterEnd'], route: StreamOptions['afterEnd']): ResolvedRouteOptions['afterEnd'] {
  const stops = (route ?? outer) === false ? [] : STOPS_AFTER;
  const defaults = Object.fromEntries(CLOSE_REASONS.map((reason) => [reason, stops.includes(reason) ? 'stop' : 'restart']));
  return merge(defaults, outer || undefined, route || undefined);
}

function authorization(
  outer: StreamOptions['authorization'],
  route: StreamOptions['authorization'],
): ResolvedRouteOptions['authorization'] {
  const merged = mergeOrFalse<AuthorizationOptions>(false, outer, route);
  return merged && merge(AUTHORIZATION_DEFAULTS, merged);
}

/** What an option's own value does not tell. */
function checkTogether({ authorization, finishMs }: ResolvedRouteOptions, { timeoutMs }: Complete<ShutdownOptions>, owner: string): void {
  if (authorization && !authorization.revalidate && !authorization.expiresAt) {
    refuse({ owner, path: 'authorization' }, {}, 'at least one of revalidate and expiresAt, or false');
  }
  if (finishMs > timeoutMs) {
    refuse({ owner, path: 'shutdown.finishMs' }, finishMs, `at most shutdown.timeoutMs (${timeoutMs}), as the shutdown ends then`);
  }
}

/** Of routes alone, as each may have `resume` of its own. */
function checkEviction({ limits, resume }: ResolvedRouteOptions, owner: string): void {
  if (limits.perPrincipalPolicy === 'evict-oldest' && !resume) {
    refuse(
      { owner, path: 'limits.perPrincipalPolicy' },
      limits.perPrincipalPolicy,
      "'reject', or resume to be on: without it an evicted client would come back by itself and evict in turn",
    );
  }
}
