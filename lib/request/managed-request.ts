import type { CallHandler, Type } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { HttpResponse, http2Stream } from '../connection/http-response.js';
import type { SessionIdentity } from '../session/session-context.js';
import type { HttpExchange } from './http-exchange.js';
import type { RequestRuntime } from './request-runtime.js';
import type { ManagedRoute } from './route-table.js';

/** A request for a managed route, once it is known who asks. */
export interface ManagedRequest {
  readonly runtime: RequestRuntime;
  readonly adapter: AbstractHttpAdapter;
  readonly exchange: HttpExchange;
  readonly route: ManagedRoute;
  readonly identity: SessionIdentity;
  readonly controllerClass: Type;
  readonly next: CallHandler;
}

/** Its response, for a session to write to. */
export function responseOf({ runtime, exchange }: ManagedRequest): HttpResponse {
  const stream = http2Stream(exchange.response);
  return new HttpResponse(exchange, stream && runtime.http2Connections.carry(stream));
}
