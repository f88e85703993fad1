import { Inject, Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { ON_SSE_SESSION } from '../decorators/on-sse-session.js';
import { SseSessionError } from '../errors.js';
import { type Handler, managedMethodOf } from '../request/managed-method.js';
import { SSE_METADATA } from '../request/nest-metadata.js';
import type { RouteTable } from '../request/route-table.js';
import type { HookKind, HookTable } from '../session/hooks.js';
import { SessionRegistry } from '../session/session-registry.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];
type Methods = ReadonlyMap<string | symbol, Handler>;

/** Looks over the application's classes when it starts: collects the hooks of `@OnSseSession()`, and refuses routes that could not work. */
@Injectable()
export class Explorer {
  constructor(@Inject(DiscoveryService) private readonly discovery: DiscoveryService) {}

  /** @throws SseSessionError `DUPLICATE_MODULE`, `INVALID_HOOK`, `UNMANAGED_OVERRIDE`, `CONFLICTING_DECORATORS` or `INVALID_OPTION` */
  explore(hooks: HookTable, routes: RouteTable): void {
    this.#refuseSecondModule();
    const controllers = this.discovery.getControllers();
    for (const controller of controllers) this.#exploreRoutes(controller, routes);
    // a class that several modules provide has an instance in each; one instance that several tokens name is called once
    const seen = new Set<unknown>();
    for (const wrapper of [...this.discovery.getProviders(), ...controllers]) this.#exploreHooks(wrapper, hooks, seen);
  }

  /** Each would have sessions, limits and a shutdown of its own, and a route would get one of them by chance. */
  #refuseSecondModule(): void {
    const modules = this.discovery.getProviders().filter(({ token }) => token === SessionRegistry).length;
    if (modules < 2) return;
    throw new SseSessionError(
      'DUPLICATE_MODULE',
      `The application has ${modules} SseSessionModules; import forRoot() once, in the root module.`,
    );
  }

  #exploreRoutes({ metatype }: Wrapper, routes: RouteTable): void {
    if (typeof metatype !== 'function') return;
    for (const [name, method] of methodsOf(metatype.prototype as object)) {
      if (managedMethodOf(method)) {
        refuseNestSse(metatype.name, name, method);
        routes.routeOf(method);
      } else refuseOverride(metatype, name);
    }
  }

  #exploreHooks(wrapper: Wrapper, hooks: HookTable, seen: Set<unknown>): void {
    const instance: unknown = wrapper.instance;
    if (wrapper.isAlias || typeof instance !== 'object' || instance === null || seen.has(instance)) return;
    seen.add(instance);
    const className = (instance.constructor as { name?: string } | undefined)?.name ?? String(wrapper.name);
    for (const [name, method] of methodsOf(Object.getPrototypeOf(instance) as object | null)) {
      for (const kind of hookKindsOf(method)) {
        // Nest has a bare prototype in the place of what it makes per request
        if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) throw notASingleton(className, name, kind);
        hooks[kind].push(((...args: never[]): unknown => method.apply(instance, args)) as never);
      }
    }
  }
}

function hookKindsOf(method: Handler): HookKind[] {
  return (Reflect.getMetadata(ON_SSE_SESSION, method) ?? []) as HookKind[];
}

function notASingleton(className: string, method: string | symbol, kind: HookKind): SseSessionError {
  return new SseSessionError(
    'INVALID_HOOK',
    `@OnSseSession('${kind}') on ${className}.${String(method)}: ${className} is request-scoped or transient, so there is no instance to call. Put the hook on a singleton.`,
  );
}

/** The methods that an instance has, the most derived of each name. */
function methodsOf(prototype: object | null): Methods {
  const methods = new Map<string | symbol, Handler>();
  for (let level = prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level) as object | null) {
    for (const name of Reflect.ownKeys(level)) {
      const value: unknown = Object.getOwnPropertyDescriptor(level, name)?.value;
      if (name !== 'constructor' && typeof value === 'function' && !methods.has(name)) methods.set(name, value as Handler);
    }
  }
  return methods;
}

function refuseNestSse(className: string, name: string | symbol, method: Handler): void {
  if (!Reflect.getMetadata(SSE_METADATA, method)) return;
  throw new SseSessionError(
    'CONFLICTING_DECORATORS',
    `${className}.${String(name)}() is decorated with both @ManagedSse() and Nest's @Sse(), which would both write to its response; remove @Sse().`,
  );
}

/** An override inherits the mark that the response is not Nest's to send, and with a plain `@Get()` nobody would ever answer. */
function refuseOverride(metatype: { name: string; prototype?: unknown }, name: string | symbol): void {
  let level = Object.getPrototypeOf(metatype.prototype) as object | null;
  for (; level && level !== Object.prototype; level = Object.getPrototypeOf(level) as object | null) {
    const value: unknown = Object.getOwnPropertyDescriptor(level, name)?.value;
    if (typeof value !== 'function' || !managedMethodOf(value as Handler)) continue;
    throw new SseSessionError(
      'UNMANAGED_OVERRIDE',
      `${metatype.name}.${String(name)}() overrides a method that ${level.constructor.name} decorates with @ManagedSse(); decorate the override with @ManagedSse() too, or give it another name.`,
    );
  }
}
