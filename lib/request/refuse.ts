import { HttpException, HttpStatus, ServiceUnavailableException } from '@nestjs/common';
import { type Observable, of, throwError } from 'rxjs';
import { sendHead } from '../connection/http-response.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { Shutdown } from '../session/shutdown.js';
import { namesEventStream } from './accept.js';
import type { Refusal } from './admission.js';
import type { HttpExchange } from './http-exchange.js';
import type { ManagedRequest } from './managed-request.js';

/** A client that a limit sent away comes back after 15 to 30 s. */
const LIMIT_RETRY_MS = 15_000;

const MESSAGES: Record<Refusal, string> = {
  shutdown: 'The server is shutting down',
  pipelined: 'A stream cannot wait behind another request on its connection',
  connections: 'Too many streams are open',
  principal: 'Too many streams are open for this user',
  socket: 'Too many streams are open on this connection',
};

/** The exception that says why a request was refused. */
function refusalError(refusal: Refusal): HttpException {
  if (refusal === 'principal') return new HttpException(MESSAGES.principal, HttpStatus.TOO_MANY_REQUESTS);
  return new ServiceUnavailableException(MESSAGES[refusal]);
}

/** When the client should try again, in milliseconds. */
function retryAfterMs(refusal: Refusal, options: ResolvedRouteOptions, shutdown: Shutdown, random: () => number): number {
  return refusal === 'shutdown' ? shutdown.returnMs(options.retryMs) : Math.round(LIMIT_RETRY_MS * (1 + random()));
}

/**
 * Refuses as an `EventSource` bears it: it gives up for good at any status but 200, so it gets a stream that says when to come back, and
 * ends. Returns `false` for a client that is better told by a status.
 */
function refuseAsStream(exchange: HttpExchange, options: ResolvedRouteOptions, retryMs: number): boolean {
  const { request } = exchange;
  if (options.refusal !== 'retry' || request.method !== 'GET' || !namesEventStream(request.headers)) return false;
  sendHead(exchange);
  exchange.response.end(`retry: ${retryMs}\n\n`);
  return true;
}

/** Refuses a request that never was a session. */
export function reject(request: RefusableRequest, refusal: Refusal): Observable<undefined> {
  return refuse(request, refusal, request.runtime.registry.rejected(refusalError(refusal)));
}

/** What of a request its refusal needs. */
type RefusableRequest = Pick<ManagedRequest, 'runtime' | 'adapter' | 'exchange' | 'route'>;

export function refuse(
  { runtime, adapter, exchange, route }: RefusableRequest,
  refusal: Refusal,
  error = refusalError(refusal),
): Observable<undefined> {
  const { registry, shutdown } = runtime;
  const retryMs = retryAfterMs(refusal, route.options, shutdown, registry.random);
  // a connection that is kept alive would keep the server from closing
  if (refusal === 'shutdown' && exchange.request.httpVersionMajor < 2) adapter.setHeader(exchange.reply, 'Connection', 'close');
  if (refuseAsStream(exchange, route.options, retryMs)) return of(undefined);
  adapter.setHeader(exchange.reply, 'Retry-After', String(Math.ceil(retryMs / 1000)));
  return throwError(() => error);
}

/**
 * Tells an `EventSource` that it has everything, after which it is quiet: any status but 200 ends its reconnecting, and 204 is the one that is
 * meant for it (WHATWG HTML, 9.2.3).
 */
export function stopReconnecting(exchange: HttpExchange): void {
  const { response } = exchange;
  exchange.applyHeaders();
  for (const name of ['Content-Length', 'Content-Encoding', 'Content-Type']) response.removeHeader(name);
  response.writeHead(HttpStatus.NO_CONTENT, { 'Cache-Control': 'no-store' });
  exchange.hijack();
  response.end();
}
