import { http2Stream } from '../connection/http-response.js';
import type { ResolvedLimit, ResolvedRouteOptions } from '../options/options.js';
import type { SessionRegistry } from '../session/session-registry.js';
import type { Shutdown } from '../session/shutdown.js';
import { type HttpExchange, isPipelined } from './http-exchange.js';
import type { Http2Sessions } from './http2-sessions.js';

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
    private readonly http2Sessions: Http2Sessions,
  ) {}

  refusalOf(applicant: Applicant): Refusal | undefined {
    const { exchange, options } = applicant;
    if (this.shutdown.isRefusing) return 'shutdown';
    if (isPipelined(exchange)) return 'pipelined';
    const { maxConnections, maxPerPrincipal, maxPerSocket } = options.limits;
    if (maxConnections && this.#countAll(maxConnections, applicant) >= maxConnections.max) return 'connections';
    if (maxPerPrincipal && this.#countOfPrincipal(maxPerPrincipal, applicant) >= maxPerPrincipal.max) return 'principal';
    if (maxPerSocket && this.#countOfSocket(exchange) >= maxPerSocket.max) return 'socket';
    return undefined;
  }

  #countAll(limit: ResolvedLimit, { route }: Applicant): number {
    return limit.scope === 'route' ? this.registry.countOfRoute(route) : this.registry.size;
  }

  #countOfPrincipal(limit: ResolvedLimit, { principal, route }: Applicant): number {
    if (principal === undefined) return 0;
    const own = this.registry.ofPrincipal(principal);
    if (limit.scope === 'process') return own.size;
    let count = 0;
    for (const session of own) if (session.route === route) count++;
    return count;
  }

  #countOfSocket(exchange: HttpExchange): number {
    const stream = http2Stream(exchange.response);
    return stream?.session ? this.http2Sessions.streamsOn(stream.session) : 0;
  }
}
