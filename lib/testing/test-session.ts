import { type Clock, systemClock } from '../clock/clock.js';
import type { EventFields } from '../event/encode.js';
import { readFields } from '../event/read-event.js';
import type { RouteOptions } from '../options/options.js';
import { resolveModuleOptions, resolveRouteOptions } from '../options/resolve.js';
import { checkRouteOptions } from '../options/schema.js';
import { ManagedSession } from '../session/managed-session.js';
import { SessionRegistry } from '../session/session-registry.js';
import type { SendResult, SseSession } from '../session/sse-session.js';
import { MemoryResponse } from './memory-response.js';

export interface TestSessionOptions {
  principal?: string;
  key?: string;
  /** Default `GET /test`. */
  route?: string;
  /** As in `@ManagedSse()`, without jitter. */
  options?: RouteOptions;
  /** Default: the real one. */
  clock?: Clock;
}

const QUIET = { error: () => undefined, warn: () => undefined };

/** A session without a socket: what a controller's method takes in a unit test. It is open, and its client reads whatever it is sent. */
export interface TestSession extends SseSession {
  /** The events it was sent, as the client has them. */
  readonly events: readonly EventFields[];
  /** The bytes that the client has. */
  readonly received: string;
  /** The client goes away: the session ends as `client-disconnect`. */
  disconnect(error?: Error): void;
}

class MemorySession extends ManagedSession implements TestSession {
  readonly events: EventFields[] = [];
  readonly #response: MemoryResponse;

  constructor({ principal, key, route = 'GET /test', options = {}, clock = systemClock }: TestSessionOptions) {
    checkRouteOptions(options, route);
    const moduleOptions = resolveModuleOptions();
    const registry = new SessionRegistry(moduleOptions, clock, () => 0, QUIET);
    const response = new MemoryResponse();
    const identity = {
      route,
      principal,
      key,
      remoteAddress: '127.0.0.1',
      authorizedUntil: undefined,
      hooks: {},
      options: resolveRouteOptions(moduleOptions, options, route),
    };
    super(registry, identity, response, () => undefined);
    this.#response = response;
    this.start();
    this.open();
  }

  override send(event: unknown): SendResult {
    const result = super.send(event);
    if (result === 'accepted') this.events.push(plain(readFields(event, this.options)));
    return result;
  }

  get received(): string {
    return this.#response.received;
  }

  disconnect(error?: Error): void {
    this.#response.disconnect(error);
  }
}

/** The fields alone, so that tests compare with plain objects. */
export function plain(fields: EventFields): EventFields {
  return { ...fields };
}

/** Makes an open session without a socket. */
export function createTestSession(options: TestSessionOptions = {}): TestSession {
  return new MemorySession(options);
}
