import 'reflect-metadata';
import { RequestMapping, RequestMethod, Res, UseInterceptors } from '@nestjs/common';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError, show } from '../errors.js';
import type { RouteOptions } from '../options/options.js';
import { checkRouteOptions, ownerOf, refuse } from '../options/schema.js';
import { runHandler, sessionOf } from '../request/current-run.js';
import { type Handler, managedMethodOf, markManaged } from '../request/managed-method.js';
import { ManagedSseInterceptor } from '../request/managed-sse.interceptor.js';
import { INTERCEPTORS_METADATA, RESPONSE_PASSTHROUGH_METADATA, ROUTE_ARGS_METADATA } from '../request/nest-metadata.js';
import type { RouteHooks } from '../session/session-hooks.js';
import type { SseSession } from '../session/sse-session.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { SseSource } from '../source/sse-source.js';

/** The hooks of a route; written as methods (no arrow functions), they have the controller as `this`. */
export interface ManagedSseHooks {
  /** The headers are out. */
  onOpen?(session: SseSession): unknown;
  /** The session is over; exactly once for every session. */
  onCompletion?(session: SseSession, reason: CloseReason): unknown;
  /** It ended by `timeoutMs` or `idleTimeoutMs`; `onCompletion` follows. */
  onTimeout?(session: SseSession): unknown;
  /** It ended as `error`, `slow-client` or `dead-peer`; `onCompletion` follows. */
  onError?(session: SseSession, error: unknown): unknown;
}

/** The options of a route: those of the module that concern one stream, and its hooks. */
export interface ManagedSseOptions extends RouteOptions, ManagedSseHooks {
  /** Default `RequestMethod.GET`; LLM SDKs and `fetch` also stream over POST. */
  method?: RequestMethod;
}

/** What `this` is in the hooks of a route that does not say: its name is what the compiler shows. */
export interface NameTheControllerAsTypeParameter {
  readonly [unknown: symbol]: never;
}

/** A method that returns an {@link SseSource} or a promise of one. */
type ManagedHandler = (...args: never[]) => SseSource | Promise<SseSource>;

/**
 * Makes a controller method a route whose every run is a managed session: kept alive by heartbeats, limited in time and memory, and
 * ended exactly once, with hooks that say why.
 *
 * @typeParam C the controller, which is `this` in the hooks: `@ManagedSse<ChatController>(...)`
 * @param path as `@Get()` takes it
 * @throws SseSessionError `INVALID_OPTION` that names the method and the option; `CONFLICTING_DECORATORS` for a method that is managed already
 */
export function ManagedSse<C = NameTheControllerAsTypeParameter>(
  path: string | string[] = '/',
  options: ManagedSseOptions & ThisType<C> = {},
) {
  assertSingleCopy();
  return <M extends ManagedHandler>(target: object, property: string | symbol, descriptor: TypedPropertyDescriptor<M>): void => {
    const name = `${target.constructor.name}.${String(property)}`;
    const { method, routeOptions, hooks } = separate(path, options, name);
    const original = descriptor.value;
    if (typeof original !== 'function')
      throw new SseSessionError('INVALID_OPTION', `@ManagedSse() on ${name} decorates ${show(original)}; expected a method.`);
    if (managedMethodOf(original)) {
      throw new SseSessionError(
        'CONFLICTING_DECORATORS',
        `@ManagedSse() stands twice on ${name}; several paths are one array: @ManagedSse(['a', 'b']).`,
      );
    }

    const responseIndex = markResponseHandled(target, property);
    const managed = manage(original, responseIndex);
    descriptor.value = managed as unknown as M;
    markManaged(managed, { name, options: routeOptions, hooks });
    RequestMapping({ path, method })(target, property, descriptor);
    putInterceptorFirst(target, property, descriptor);
  };
}

function separate(
  path: unknown,
  options: ManagedSseOptions,
  name: string,
): { method: RequestMethod; routeOptions: RouteOptions; hooks: RouteHooks } {
  if (typeof path !== 'string' && !Array.isArray(path)) {
    throw new SseSessionError(
      'INVALID_OPTION',
      `@ManagedSse() on ${name} got ${show(path)} as its path; expected a string, then the options: @ManagedSse('', { ... }).`,
    );
  }
  checkRouteOptions(options, name);
  const { method = RequestMethod.GET, ...rest } = options;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- their `this` is the controller, which they are called on
  const { onOpen, onCompletion, onTimeout, onError, ...routeOptions } = rest;
  // an enum has its names as keys too
  if (typeof method !== 'number' || RequestMethod[method] === undefined) {
    refuse({ owner: ownerOf(name), path: 'method' }, method, 'a RequestMethod, such as RequestMethod.POST');
  }
  return { method, routeOptions, hooks: { onOpen, onCompletion, onTimeout, onError } };
}

type RouteArguments = Record<string, { index: number }>;

/** Under which key our mark stands among a method's arguments. */
const RESPONSE_ARGUMENT = Symbol('nestjs-sse-session.response-argument');

/**
 * Tells Nest that the response is not its to send, as a `@Res()` parameter does. It is put behind every decorated one, at an index that no
 * parameter has, or that of one with a default or a rest parameter; the wrapper cuts it off again.
 */
function markResponseHandled(target: object, property: string | symbol): number {
  const { constructor } = target;
  const decorated = { ...(Reflect.getMetadata(ROUTE_ARGS_METADATA, constructor, property) as RouteArguments | undefined) };
  // an override inherits what its parent's parameters were decorated with, our mark too
  const inherited = Reflect.getMetadata(RESPONSE_ARGUMENT, constructor, property) as string | undefined;
  if (inherited !== undefined) delete decorated[inherited];
  const index = 1 + Math.max(-1, ...Object.values(decorated).map((argument) => argument.index));
  Reflect.defineMetadata(ROUTE_ARGS_METADATA, decorated, constructor, property);
  Res()(target, property, index);
  const marked = Reflect.getMetadata(ROUTE_ARGS_METADATA, constructor, property) as RouteArguments;
  Reflect.defineMetadata(
    RESPONSE_ARGUMENT,
    Object.keys(marked).find((key) => !(key in decorated)),
    constructor,
    property,
  );
  // a `@Res({ passthrough: true })` of the handler's own would give the response back to Nest
  Reflect.defineMetadata(RESPONSE_PASSTHROUGH_METADATA, false, constructor, property);
  return index;
}

/** A wrapper that nobody can tell from the method: same name, length and metadata. Called without a session, as in a unit test, it is the method. */
function manage(original: Handler, responseIndex: number): Handler {
  const method = original as unknown as (this: unknown, ...args: unknown[]) => SseSource | Promise<SseSource>;
  function managed(this: unknown, ...args: unknown[]): unknown {
    const session = sessionOf(args[responseIndex]);
    if (!session) return method.apply(this, args);
    args.length = responseIndex;
    return runHandler(session, this, () => method.apply(this, args));
  }
  for (const key of Reflect.getMetadataKeys(original)) Reflect.defineMetadata(key, Reflect.getMetadata(key, original), managed);
  Object.defineProperty(managed, 'name', { value: original.name, configurable: true });
  Object.defineProperty(managed, 'length', { value: original.length, configurable: true });
  return managed;
}

/** First among the method's own, also before those that were decorated earlier: so they see each event, as interceptors of a handler do. */
function putInterceptorFirst(target: object, property: string | symbol, descriptor: PropertyDescriptor): void {
  const handler = descriptor.value as object;
  const others = (Reflect.getMetadata(INTERCEPTORS_METADATA, handler) ?? []) as unknown[];
  Reflect.defineMetadata(INTERCEPTORS_METADATA, [], handler);
  UseInterceptors(ManagedSseInterceptor)(target, property, descriptor);
  const own = Reflect.getMetadata(INTERCEPTORS_METADATA, handler) as unknown[];
  Reflect.defineMetadata(INTERCEPTORS_METADATA, [...own, ...others], handler);
}
