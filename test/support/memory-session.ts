import type { Random } from '../../lib/clock/clock.js';
import type { SseSessionModuleOptions, RouteOptions } from '../../lib/options/options.js';
import { resolveModuleOptions, resolveRouteOptions } from '../../lib/options/resolve.js';
import { ManagedSession } from '../../lib/session/managed-session.js';
import type { TcpSocket } from '../../lib/liveness/tcp-table.js';
import type { RouteHooks } from '../../lib/session/session-hooks.js';
import { SessionRegistry } from '../../lib/session/session-registry.js';
import type { SseSource } from '../../lib/source/sse-source.js';
import { FakeClock, fakeRandom } from '../../lib/testing/fake-clock.js';
import { MemoryResponse } from '../../lib/testing/memory-response.js';

/** Keeps what is logged, for a test to read. */
export class MemoryLogger {
  readonly errors: string[] = [];
  readonly warnings: string[] = [];

  error(message: string): void {
    this.errors.push(message);
  }

  warn(message: string): void {
    this.warnings.push(message);
  }
}

export interface SessionDescription {
  options?: RouteOptions;
  hooks?: RouteHooks;
  controller?: unknown;
  principal?: string;
  key?: string;
  route?: string;
  authorizedUntil?: number;
  response?: MemoryResponse;
}

export interface MemoryClient {
  readonly session: ManagedSession;
  readonly response: MemoryResponse;
  /** What was told of the session, in order: `settled`, `open`, `timeout`, `error <error>`, `completion <reason>`. */
  readonly log: string[];
}

/** The sessions of an application without its HTTP: a registry on a fake clock, whose clients are in memory. */
export class MemoryApp {
  readonly clock = new FakeClock();
  readonly logger = new MemoryLogger();
  readonly registry: SessionRegistry;
  /** The `events$` of all sessions. */
  readonly events: string[] = [];

  /** What the kernel's table of TCP connections says. */
  tcpSockets = new Map<string, TcpSocket>();

  constructor(options: SseSessionModuleOptions = {}, random: Random = fakeRandom()) {
    this.registry = new SessionRegistry(resolveModuleOptions(options), this.clock, random, this.logger, async () => this.tcpSockets);
    this.registry.events$.subscribe(({ type, reason }) => this.events.push(reason ? `${type} ${reason}` : type));
  }

  /** A request that has come and whose handler has not returned yet: its session is connecting. */
  connect(description: SessionDescription = {}): MemoryClient {
    const { options = {}, hooks = {}, principal, key, route = 'GET /test', response = new MemoryResponse(), authorizedUntil } = description;
    const log: string[] = [];
    const identity = {
      route,
      principal,
      key,
      remoteAddress: '127.0.0.1',
      authorizedUntil,
      hooks,
      options: resolveRouteOptions(this.registry.options, options, route),
    };
    const session = new ManagedSession(this.registry, identity, response, () => log.push('settled'));
    session.controller = description.controller;
    session.onOpen(() => log.push('open'));
    session.onTimeout(() => log.push('timeout'));
    session.onError((_, error) => log.push(`error ${error instanceof Error ? error.message : String(error)}`));
    session.onCompletion((_, reason) => log.push(`completion ${reason}`));
    session.start();
    return { session, response, log };
  }

  /** A session whose headers are out. */
  open(description: SessionDescription = {}): MemoryClient {
    const client = this.connect(description);
    client.session.open();
    return client;
  }

  /** A request whose handler has returned `source`. */
  stream(source: SseSource, description: SessionDescription = {}): MemoryClient {
    const client = this.connect(description);
    handle(client.session, source);
    return client;
  }
}

/** What the interceptor does when the handler returns. */
export function handle(session: ManagedSession, source: SseSource): void {
  const values = session.adopt(source);
  session.handlerResolved();
  session.consume(values);
}

/** Lets what is due in the event loop happen: microtasks, flushes at the end of the turn, and the macrotasks that they begin. */
export async function turns(count = 6): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
