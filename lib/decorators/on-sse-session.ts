import 'reflect-metadata';
import { SetMetadata } from '@nestjs/common';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError, show } from '../errors.js';
import type { HookCallbacks, HookKind } from '../session/hooks.js';

export const ON_SSE_SESSION = Symbol('nestjs-sse-session.on-sse-session');

const KINDS: readonly string[] = ['open', 'completion', 'timeout', 'error'] satisfies HookKind[];

/** A method that takes no more than a hook of this kind gets. */
type HookMethod<K extends HookKind> = (...args: Parameters<HookCallbacks[K]>) => unknown;

/**
 * Marks a method of any provider or controller, to be called for every session of the application.
 *
 * - `open(session)`: the headers are out
 * - `timeout(session)`: it ended by `timeoutMs` or `idleTimeoutMs`; `completion` follows
 * - `error(session, error)`: it ended as `error`, `slow-client` or `dead-peer`; `completion` follows
 * - `completion(session, reason)`: it is over; exactly once for every session
 *
 * @throws SseSessionError `INVALID_HOOK` for another kind, and at start for a provider that is request-scoped
 */
export function OnSseSession<K extends HookKind>(kind: K) {
  assertSingleCopy();
  return <M extends HookMethod<K>>(target: object, property: string | symbol, descriptor: TypedPropertyDescriptor<M>): void => {
    if (!KINDS.includes(kind)) {
      throw new SseSessionError(
        'INVALID_HOOK',
        `@OnSseSession() on ${target.constructor.name}.${String(property)} got ${show(kind)}; expected ${KINDS.join(', ')}.`,
      );
    }
    const kinds = (Reflect.getMetadata(ON_SSE_SESSION, descriptor.value as object) ?? []) as HookKind[];
    SetMetadata(ON_SSE_SESSION, [...kinds, kind])(target, property, descriptor);
  };
}
