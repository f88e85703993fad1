import { http2Stream } from '../connection/http-response.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { ManagedSession } from '../session/managed-session.js';
import type { SessionRegistry } from '../session/session-registry.js';
import type { Shutdown } from '../session/shutdown.js';
import { type HttpExchange, isPipelined } from './http-exchange.js';
import type { Http2Connections } from './http2-connections.js';

/** Why a request gets no session. */
export type Refusal = 'shutdown' | 'pipelined' | 'connections' | 'principal' | 'socket';

interface Applicant {
  readonly exchange: HttpExchange;
  readonly route: string;
  readonly options: ResolvedRouteOptions;
  readonly principal: string | undefined;
}

/** Decides who gets a session. Sessions that are connecting count. */
export class Admission {
  constructor(
    private readonly registry: SessionRegistry,
    private readonly shutdown: Shutdown,
    private readonly http2Connections: Http2Connections,
  ) {}

  /** What refuses a request whoever it is of. */
  closedTo(exchange: HttpExchange): Refusal | undefined {
    if (this.shutdown.isRefusing) return 'shutdown';
    return isPipelined(exchange) ? 'pipelined' : undefined;
  }

  /** Lets a request in, perhaps in another's place, or says why it is not. */
  admit(applicant: Applicant): Refusal | undefined {
    const { exchange, options, route } = applicant;
    const { maxConnections, maxPerSocket } = options.limits;
    if (isReached(maxConnections.process, this.registry.size)) return 'connections';
    if (isReached(maxConnections.route, this.registry.countOfRoute(route))) return 'connections';
    if (maxPerSocket && isReached(maxPerSocket, this.#countOfSocket(exchange))) return 'socket';
    return this.#admitPrincipal(applicant);
  }

  /**
   * Lets one more client come to a session that there is. That makes no session, and who comes back to one that has no client is always let in; more tabs than
   * there may be sessions are not.
   */
  admitConnection(exchange: HttpExchange, { limits }: ResolvedRouteOptions, session?: ManagedSession): Refusal | undefined {
    const { maxConnections, maxPerSocket } = limits;
    if (maxPerSocket && isReached(maxPerSocket, this.#countOfSocket(exchange))) return 'socket';
    const others = session ? session.connections + session.waiting : 0;
    if (session && others === 0) return undefined;
    if (isReached(maxConnections.process, this.registry.connections.size + (session?.waiting ?? 0))) return 'connections';
    return isReached(maxConnections.route, others) ? 'connections' : undefined;
  }

  #admitPrincipal({ options, principal, route }: Applicant): Refusal | undefined {
    const { maxPerPrincipal, perPrincipalPolicy } = options.limits;
    if (principal === undefined || (maxPerPrincipal.process === false && maxPerPrincipal.route === false)) return undefined;
    const evicts = perPrincipalPolicy === 'evict-oldest';
    // in the order in which they came; one that is closing makes room by itself
    const own = [...this.registry.ofPrincipal(principal)].filter((session) => !evicts || session.closeReason === undefined);
    const onRoute = own.filter((session) => session.route === route);
    const full = [isReached(maxPerPrincipal.route, onRoute.length) && onRoute, isReached(maxPerPrincipal.process, own.length) && own].find(
      Boolean,
    );
    if (!full) return undefined;
    if (!evicts) return 'principal';
    // whose client could not be told to stop would come back and evict in turn
    const oldest = full.find((session) => session.isResumable);
    if (!oldest) return 'principal';
    oldest.end('evicted');
    return undefined;
  }

  #countOfSocket(exchange: HttpExchange): number {
    const stream = http2Stream(exchange.response);
    return stream ? this.http2Connections.othersThan(stream) : 0;
  }
}

function isReached(limit: number | false, count: number): boolean {
  return limit !== false && count >= limit;
}
