import { INTERCEPTORS_METADATA } from './nest-metadata.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import { type ResolvedModuleOptions, resolveRouteOptions } from '../options/resolve.js';
import { type Handler, managedMethodOf } from './managed-method.js';
import type { RouteHooks } from '../session/session-hooks.js';

/** A managed method with its options merged over the module's. */
export interface ManagedRoute {
  readonly options: ResolvedRouteOptions;
  readonly hooks: RouteHooks;
  /** The managed interceptor is the only one of the method. */
  readonly isDirect: boolean;
}

/** What is known of each managed method, worked out once. */
export class RouteTable {
  readonly #routes = new WeakMap<Handler, ManagedRoute>();
  readonly #names = new Map<string, string>();

  constructor(private readonly moduleOptions: ResolvedModuleOptions) {}

  /** @throws SseSessionError `INVALID_OPTION` when the route's options don't go with the module's. */
  routeOf(handler: Handler): ManagedRoute {
    let route = this.#routes.get(handler);
    if (!route) {
      route = this.#resolve(handler);
      this.#routes.set(handler, route);
    }
    return route;
  }

  /** `GET /chat/:id/stream`: one string for all the sessions of a route. */
  nameOf(method: string, pattern: string): string {
    const name = `${method} ${pattern}`;
    const known = this.#names.get(name);
    if (known === undefined) this.#names.set(name, name);
    return known ?? name;
  }

  #resolve(handler: Handler): ManagedRoute {
    const managed = managedMethodOf(handler);
    const interceptors = Reflect.getMetadata(INTERCEPTORS_METADATA, handler) as unknown[] | undefined;
    return {
      options: resolveRouteOptions(this.moduleOptions, managed?.options ?? {}, managed?.name ?? handler.name),
      hooks: managed?.hooks ?? {},
      isDirect: (interceptors?.length ?? 0) === 1,
    };
  }
}
