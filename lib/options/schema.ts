import { SseSessionError, show } from '../errors.js';
import { CLOSE_REASONS } from './close-reasons.js';

/** Where a value stands, for messages: whose option (`SseSessionModule`, or the route), and its path (`buffer.maxBytes`). */
export interface Place {
  readonly owner: string;
  readonly path: string;
}

/** Throws what a value should have been. */
type Check = (value: unknown, place: Place) => void;
type Shape = Record<string, Check>;

/** setTimeout's own limit: 24.8 days. */
const MAX_MS = 2 ** 31 - 1;

/** @throws SseSessionError `INVALID_OPTION` that names the option, whose it is, what it got and what it expects. */
export function refuse({ owner, path }: Place, value: unknown, expected: string): never {
  throw new SseSessionError('INVALID_OPTION', `${owner} option "${path}" is ${show(value)}; expected ${expected}.`);
}

function inside({ owner, path }: Place, key: string): Place {
  return { owner, path: path === '' ? key : `${path}.${key}` };
}

function check(expected: string, test: (value: unknown) => boolean): Check {
  return (value, place) => {
    if (!test(value)) refuse(place, value, expected);
  };
}

const isWhole = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max;

const milliseconds = (min: number): Check =>
  check(`a whole number of milliseconds from ${min} to ${MAX_MS}`, (value) => isWhole(value, min, MAX_MS));
const bytes = check('a whole number of bytes, 1 or more', (value) => isWhole(value, 1, Number.MAX_SAFE_INTEGER));
const count = check('a whole number, 1 or more', (value) => isWhole(value, 1, Number.MAX_SAFE_INTEGER));
const aFunction = check('a function', (value) => typeof value === 'function');
const line = check('a string without CR, LF or NUL', (value) => typeof value === 'string' && !/[\r\n\0]/.test(value));
const name = check('a string that is not empty, without CR, LF or NUL', (value) => typeof value === 'string' && /^[^\r\n\0]+$/.test(value));
const oneOf = (...values: string[]): Check =>
  check(values.map((value) => `'${value}'`).join(' or '), (value) => values.includes(value as string));

/** What a route may not set. */
const ofTheModule = check("nothing: it is the module's alone, set in SseSessionModule.forRoot()", () => false);

/** `false` or what `inner` takes; `0` is told apart, as people write it for "never". */
function orFalse(inner: Check): Check {
  return (value, place) => {
    if (value === false) return;
    if (value === 0) refuse(place, value, 'false to switch it off (0 never means infinite), or a positive value');
    inner(value, place);
  };
}

function group(shape: Shape, required: readonly string[] = []): Check {
  return (value, place) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(place, value, `an object with ${keysOf(shape)}`);
    checkKeys(value as Record<string, unknown>, shape, place);
    for (const key of required) {
      if ((value as Record<string, unknown>)[key] === undefined) refuse(inside(place, key), undefined, 'a value, as it has no default');
    }
  };
}

function keysOf(shape: Shape): string {
  return Object.keys(shape)
    .filter((key) => shape[key] !== ofTheModule)
    .join(', ');
}

function checkKeys(value: Record<string, unknown>, shape: Shape, place: Place): void {
  for (const key of Object.keys(value)) {
    const keyPlace = inside(place, key);
    const checkValue = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (!checkValue) {
      const { owner, path } = keyPlace;
      throw new SseSessionError('INVALID_OPTION', `${owner} option "${path}" is unknown; expected one of ${keysOf(shape)}.`);
    }
    if (value[key] !== undefined) checkValue(value[key], keyPlace);
  }
}

const STREAM: Shape = {
  heartbeat: orFalse(group({ intervalMs: milliseconds(1), comment: line })),
  timeoutMs: orFalse(milliseconds(1)),
  idleTimeoutMs: orFalse(milliseconds(1)),
  retryMs: orFalse(milliseconds(1)),
  openOn: oneOf('handler', 'first-event'),
  emit: oneOf('event', 'payload'),
  serializer: aFunction,
  errorEvent: orFalse(aFunction),
  endEvent: orFalse(group({ type: name }, ['type'])),
  buffer: group({ maxBytes: bytes, overflow: oneOf('close', 'drop-oldest', 'latest'), stallTimeoutMs: milliseconds(1) }),
  deadPeer: orFalse(group({ timeoutMs: milliseconds(1_000) })),
  authorization: orFalse(group({ revalidate: aFunction, intervalMs: milliseconds(1), expiresAt: aFunction })),
  limits: group({
    maxConnections: orFalse(count),
    maxPerPrincipal: orFalse(count),
    maxPerSocket: orFalse(count),
    perPrincipalPolicy: oneOf('reject', 'evict-oldest'),
  }),
  refusal: oneOf('retry', 'status'),
  principal: aFunction,
  key: aFunction,
  resume: orFalse(group({ graceMs: milliseconds(1), maxEvents: count, maxBytes: bytes, onDisconnect: oneOf('detach', 'cancel') })),
  afterEnd: orFalse(group(Object.fromEntries(CLOSE_REASONS.map((reason) => [reason, oneOf('stop', 'restart')])))),
};

const MODULE: Shape = {
  ...STREAM,
  maxTotalBytes: bytes,
  resumeMaxTotalBytes: bytes,
  channels: group({ maxBytes: bytes, maxAgeMs: milliseconds(1) }),
  cleanup: group({ intervalMs: milliseconds(1) }),
  shutdown: group({ timeoutMs: milliseconds(1), finishMs: milliseconds(0), retryJitterMs: milliseconds(0) }),
};

const hook = check('a method', (value) => typeof value === 'function');

const ROUTE: Shape = {
  ...STREAM,
  /** Checked by the decorator, which knows Nest's enum. */
  method: () => undefined,
  onOpen: hook,
  onCompletion: hook,
  onTimeout: hook,
  onError: hook,
  maxTotalBytes: ofTheModule,
  resumeMaxTotalBytes: ofTheModule,
  channels: ofTheModule,
  cleanup: ofTheModule,
  shutdown: group({ finishMs: milliseconds(0), timeoutMs: ofTheModule, retryJitterMs: ofTheModule }),
};

function checkOptions(options: unknown, shape: Shape, where: string, owner: string): void {
  checkObject(options, where);
  checkKeys(options as Record<string, unknown>, shape, { owner, path: '' });
}

/** @throws SseSessionError `INVALID_OPTION` for anything but an object. */
export function checkObject(options: unknown, where: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new SseSessionError('INVALID_OPTION', `${where} takes an object of options; got ${show(options)}.`);
  }
}

/** Whose the options of a route are, for messages. */
export function ownerOf(route: string): string {
  return `@ManagedSse() on ${route}:`;
}

export const MODULE_OWNER = 'SseSessionModule';

/** @throws SseSessionError `INVALID_OPTION` that names the option, what it got and what it expects. */
export function checkModuleOptions(options: unknown): void {
  checkOptions(options, MODULE, 'SseSessionModule.forRoot()', MODULE_OWNER);
}

/** @throws SseSessionError `INVALID_OPTION` that names the route too. */
export function checkRouteOptions(options: unknown, route: string): void {
  checkOptions(options, ROUTE, `@ManagedSse() on ${route}`, ownerOf(route));
}
