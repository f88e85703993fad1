import type { Random } from '../../lib/clock/clock.js';
import type { SseSessionModuleOptions, RouteOptions } from '../../lib/options/options.js';
import { resolveModuleOptions, resolveRouteOptions } from '../../lib/options/resolve.js';
import { ManagedSession } from '../../lib/session/managed-session.js';
import type { TcpSocket } from '../../lib/liveness/tcp-table.js';
import type { SessionIdentity } from '../../lib/session/session-context.js';
import type { RouteHooks } from '../../lib/session/session-hooks.js';
import { findReturn } from '../../lib/request/returning.js';
import type { ResetReason } from '../../lib/event/reset.js';
import { LogFollower } from '../../lib/resume/log-follower.js';
import { retryLine } from '../../lib/session/retry-line.js';
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
  /** Of the request, for sessions that can be resumed. */
  path?: string;
  authorizedUntil?: number;
  response?: MemoryResponse;
}

export interface MemoryClient {
  readonly session: ManagedSession;
  readonly response: MemoryResponse;
  /** What was told of the session, in order: `settled`, `open`, `timeout`, `error <error>`, `completion <reason>`. */
  readonly log: string[];
}

/** What became of a client that came to a resumable route. */
export interface Arrival {
  readonly response: MemoryResponse;
  /** `waiting` turns into `attached`, `started` or `refused` once the session that it waits for has opened. */
  answer: 'started' | 'attached' | 'waiting' | 'rest' | 'nothing' | 'refused';
  /** Absent for `rest` and `nothing`. */
  session?: ManagedSession;
  /** Of a session that it started, as of {@link MemoryClient}. */
  log?: string[];
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
  connect(description: SessionDescription = {}, reset?: ResetReason): MemoryClient {
    const { response = new MemoryResponse() } = description;
    const log: string[] = [];
    const session = new ManagedSession(this.registry, this.#identify(description), response, () => log.push('settled'), reset);
    session.controller = description.controller;
    session.onOpen(() => log.push('open'));
    session.onTimeout(() => log.push('timeout'));
    session.onError((_, error) => log.push(`error ${error instanceof Error ? error.message : String(error)}`));
    session.onCompletion((_, reason) => log.push(`completion ${reason}`));
    session.start();
    return { session, response, log };
  }

  /** A request for a resumable route, perhaps of a client that comes back: what the interceptor does with it. */
  arrive(description: SessionDescription, lastEventId?: string): Arrival {
    const { response = new MemoryResponse() } = description;
    const identity = this.#identify(description);
    const found = findReturn(this.registry.directory, identity, lastEventId);
    if (found instanceof Promise) throw new Error('The engine in memory answers at once');
    const arrival: Arrival = { response, answer: 'nothing' };
    const start = (reset: ResetReason | undefined): void => {
      Object.assign(arrival, { answer: 'started' }, this.connect({ ...description, response }, reset));
    };
    if (found.to === 'start') start(found.reset);
    else if (found.to === 'log') {
      const { registry } = this;
      const session = registry.get(found.log.sessionId);
      if (!session || session.closeReason !== undefined) {
        const follower = new LogFollower(response, found.log, found.after, found.reset, identity.options, registry.connections);
        follower.start(retryLine(identity.options.retryMs, registry.random), registry.directory);
        arrival.answer = 'rest';
        return arrival;
      }
      if (session.state !== 'connecting') {
        Object.assign(arrival, { answer: 'attached', session });
        if (response.isGone) return arrival;
        const { after, reset } = found;
        session.attach(response, { after, reset, authorizedUntil: identity.authorizedUntil }, () => undefined);
      } else {
        arrival.answer = 'waiting';
        session.whenSettled(() => {
          if (session.openedAt === undefined && session.closeReason !== undefined && session.closeReason !== 'client-disconnect')
            arrival.answer = 'refused';
          else Object.assign(arrival, this.arrive({ ...description, response }, lastEventId));
        });
      }
    }
    return arrival;
  }

  #identify(description: SessionDescription): SessionIdentity {
    const { options = {}, hooks = {}, principal, key, route = 'GET /test', path = '/test', authorizedUntil } = description;
    return {
      route,
      principal,
      key,
      remoteAddress: '127.0.0.1',
      authorizedUntil,
      path,
      hooks,
      options: resolveRouteOptions(this.registry.options, options, route),
    };
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
