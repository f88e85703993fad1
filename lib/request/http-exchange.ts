import type { ExecutionContext } from '@nestjs/common';
import type { HttpPair } from '../connection/http-response.js';
import { SseSessionError } from '../errors.js';
import { copyFastifyHeaders, type FastifyReplyLike } from './fastify-headers.js';

interface FrameworkRequest {
  raw?: HttpPair['request'];
  ip?: string;
  query?: unknown;
  route?: { path?: unknown };
  routeOptions?: { url?: string };
}

/** A request and its response, as the framework and as Node have them. */
export interface HttpExchange extends HttpPair {
  /** The framework's response: what a handler's `@Res()` gets. */
  readonly reply: object;
  readonly remoteAddress: string | undefined;
  /** The path pattern, with prefix and version, such as `/chat/:id/stream`. */
  readonly pattern: string;
  readonly query: Readonly<Record<string, unknown>>;
}

type Control = Pick<HttpExchange, 'applyHeaders' | 'hijack' | 'isAnswered'>;

/** Express answers with Node's own response, which is marked as handled. */
function expressControl(response: HttpPair['response']): Control {
  return { applyHeaders: () => undefined, hijack: () => undefined, isAnswered: () => hasHead(response) };
}

function fastifyControl(reply: FastifyReplyLike): Control {
  return {
    applyHeaders: () => copyFastifyHeaders(reply),
    hijack: () => void reply.hijack(),
    isAnswered: () => hasHead(reply.raw) || reply.sent,
  };
}

function hasHead(response: HttpPair['response']): boolean {
  return response.headersSent || response.writableEnded;
}

/** @throws SseSessionError `UNSUPPORTED_ADAPTER` for anything but Express and Fastify. */
export function httpExchange(context: ExecutionContext, adapterType: string): HttpExchange {
  const http = context.switchToHttp();
  const request = http.getRequest<FrameworkRequest>();
  const reply = http.getResponse<object>();
  switch (adapterType) {
    case 'express': {
      const response = reply as HttpPair['response'];
      return describe(request, reply, request as unknown as HttpPair['request'], response, expressControl(response));
    }
    case 'fastify': {
      const fastifyReply = reply as FastifyReplyLike;
      return describe(request, reply, request.raw as HttpPair['request'], fastifyReply.raw, fastifyControl(fastifyReply));
    }
    default:
      throw new SseSessionError(
        'UNSUPPORTED_ADAPTER',
        `@ManagedSse() runs on Express and Fastify; this application uses ${JSON.stringify(adapterType)}.`,
      );
  }
}

function describe(
  framework: FrameworkRequest,
  reply: object,
  request: HttpPair['request'],
  response: HttpPair['response'],
  control: Control,
): HttpExchange {
  const { query } = framework;
  const pattern = framework.routeOptions?.url ?? framework.route?.path;
  return {
    request,
    response,
    reply,
    ...control,
    remoteAddress: framework.ip ?? request.socket.remoteAddress,
    pattern: typeof pattern === 'string' ? pattern : '',
    query: typeof query === 'object' && query !== null ? (query as Record<string, unknown>) : {},
  };
}

/** A request that waits behind another on its HTTP/1.1 connection: Node gives it its socket only when that one has ended. */
export function isPipelined(exchange: HttpExchange): boolean {
  return exchange.request.httpVersionMajor < 2 && !exchange.response.socket && !exchange.request.socket.destroyed;
}
