import { HttpException, HttpStatus, ServiceUnavailableException } from '@nestjs/common';
import { sendHead } from '../connection/http-response.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import type { Shutdown } from '../session/shutdown.js';
import { namesEventStream } from './accept.js';
import type { Refusal } from './admission.js';
import type { HttpExchange } from './http-exchange.js';

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
export function refusalError(refusal: Refusal): HttpException {
  if (refusal === 'principal') return new HttpException(MESSAGES.principal, HttpStatus.TOO_MANY_REQUESTS);
  return new ServiceUnavailableException(MESSAGES[refusal]);
}

/** When the client should try again, in milliseconds. */
export function retryAfterMs(refusal: Refusal, options: ResolvedRouteOptions, shutdown: Shutdown, random: () => number): number {
  return refusal === 'shutdown' ? shutdown.returnMs(options.retryMs) : Math.round(LIMIT_RETRY_MS * (1 + random()));
}

/**
 * Refuses as an `EventSource` bears it: it gives up for good at any status but 200, so it gets a stream that says when to come back, and
 * ends. Returns `false` for a client that is better told by a status.
 */
export function refuseAsStream(exchange: HttpExchange, options: ResolvedRouteOptions, retryMs: number): boolean {
  const { request } = exchange;
  if (options.refusal !== 'retry' || request.method !== 'GET' || !namesEventStream(request.headers)) return false;
  sendHead(exchange);
  exchange.response.end(`retry: ${retryMs}\n\n`);
  return true;
}

/** Tells an `EventSource` that it has everything, after which it is quiet (WHATWG HTML, 9.2.3: any status but 200 fails the connection; 204 is meant for it). */
export function stopReconnecting(exchange: HttpExchange): void {
  const { response } = exchange;
  exchange.applyHeaders();
  for (const name of ['Content-Length', 'Content-Encoding', 'Content-Type']) response.removeHeader(name);
  response.writeHead(HttpStatus.NO_CONTENT, { 'Cache-Control': 'no-store' });
  exchange.hijack();
  response.end();
}
