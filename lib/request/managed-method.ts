import 'reflect-metadata';
import type { RouteOptions } from '../options/options.js';
import type { RouteHooks } from '../session/session-hooks.js';

/** What `@ManagedSse()` knows of the method that it decorates. */
export interface ManagedMethod {
  /** `ChatController.stream`, for messages. */
  readonly name: string;
  readonly options: RouteOptions;
  readonly hooks: RouteHooks;
}

export type Handler = (...args: never[]) => unknown;

/** Metadata and not a WeakMap: a decorator above ours that wraps the method copies the metadata to its wrapper, as Nest's own needs it. */
const MANAGED_METHOD = Symbol('nestjs-sse-session.managed-method');

export function markManaged(handler: Handler, method: ManagedMethod): void {
  Reflect.defineMetadata(MANAGED_METHOD, method, handler);
}

/** Absent for a method that is not managed. */
export function managedMethodOf(handler: Handler): ManagedMethod | undefined {
  return Reflect.getMetadata(MANAGED_METHOD, handler) as ManagedMethod | undefined;
}
