import type { ExecutionContext } from '@nestjs/common';
import type { HttpPair } from '../connection/http-response.js';
import { SseSessionError } from '../errors.js';
import { copyFastifyHeaders, type FastifyReplyLike } from './fastify-headers.js';

interface FrameworkRequest {
  raw?: HttpPair['request'];
  ip?: string;
  originalUrl?: string;
  query?: Readonly<Record<string, unknown>>;
  route?: { path?: unknown };
  routeOptions?: { url?: string };
}

/** A request and its response, as the framework and as Node have them. */
export abstract class HttpExchange implements HttpPair {
  constructor(
    readonly request: HttpPair['request'],
    readonly response: HttpPair['response'],
    private readonly framework: FrameworkRequest,
  ) {}

  /** The framework's response: what a handler's `@Res()` gets. */
  abstract readonly reply: object;
  abstract applyHeaders(): void;
  abstract hijack(): void;

  isAnswered(): boolean {
    return this.response.headersSent || this.response.writableEnded;
  }

  get remoteAddress(): string | undefined {
    return this.framework.ip ?? this.request.socket.remoteAddress;
  }

  /** The path that was asked for, without its query. */
  get path(): string {
    const url = this.framework.originalUrl ?? this.request.url ?? '';
    return url.split('?', 1)[0] as string;
  }

  get query(): Readonly<Record<string, unknown>> {
    return this.framework.query ?? {};
  }

  /** The path pattern, with prefix and version, such as `/chat/:id/stream`. */
  get pattern(): string {
    const pattern = this.framework.routeOptions?.url ?? this.framework.route?.path;
    return typeof pattern === 'string' ? pattern : '';
  }
}

/** Express answers with Node's own response, which is marked as handled. */
class ExpressExchange extends HttpExchange {
  get reply(): object {
    return this.response;
  }

  applyHeaders(): void {}

  hijack(): void {}
}

class FastifyExchange extends HttpExchange {
  constructor(
    request: FrameworkRequest,
    readonly reply: FastifyReplyLike,
  ) {
    super(request.raw as HttpPair['request'], reply.raw, request);
  }

  applyHeaders(): void {
    copyFastifyHeaders(this.reply);
  }

  hijack(): void {
    this.reply.hijack();
  }

  override isAnswered(): boolean {
    return super.isAnswered() || this.reply.sent;
  }
}

/** @throws SseSessionError `UNSUPPORTED_ADAPTER` for anything but Express and Fastify. */
export function httpExchange(context: ExecutionContext, adapterType: string): HttpExchange {
  const http = context.switchToHttp();
  switch (adapterType) {
    case 'express': {
      const request = http.getRequest<FrameworkRequest & HttpPair['request']>();
      return new ExpressExchange(request, http.getResponse<HttpPair['response']>(), request);
    }
    case 'fastify':
      return new FastifyExchange(http.getRequest<FrameworkRequest>(), http.getResponse<FastifyReplyLike>());
    default:
      throw new SseSessionError(
        'UNSUPPORTED_ADAPTER',
        `@ManagedSse() runs on Express and Fastify; this application uses ${JSON.stringify(adapterType)}.`,
      );
  }
}

/** A request that waits behind another on its HTTP/1.1 connection: Node gives it its socket only when that one has ended. */
export function isPipelined(exchange: HttpExchange): boolean {
  return exchange.request.httpVersionMajor < 2 && !exchange.response.socket && !exchange.request.socket.destroyed;
}
