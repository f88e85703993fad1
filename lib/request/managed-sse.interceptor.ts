import {
  type CallHandler,
  type ExecutionContext,
  GatewayTimeoutException,
  Inject,
  Injectable,
  type NestInterceptor,
  NotAcceptableException,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Observable, type Subscriber, defer, of } from 'rxjs';
import { HttpResponse, http2Stream, sendHead } from '../connection/http-response.js';
import { SseSessionError, show } from '../errors.js';
import { ManagedSession } from '../session/managed-session.js';
import { acceptsEventStream } from './accept.js';
import type { Refusal } from './admission.js';
import { beginRun } from './current-run.js';
import { type HttpExchange, httpExchange } from './http-exchange.js';
import { refusalError, refuseAsStream, retryAfterMs } from './refuse.js';
import { RequestRuntime } from './request-runtime.js';
import type { ManagedRoute } from './route-table.js';

/**
 * Where a request becomes a session: first among the method's own interceptors, so inside the guards and the outer interceptors, outside the
 * pipes, the handler and the method's other interceptors.
 *
 * What it returns emits one `undefined` when the stream opens, which is what outer interceptors see of it, or fails as the request failed
 * before that, for the exception filters.
 */
@Injectable()
export class ManagedSseInterceptor implements NestInterceptor {
  constructor(
    @Inject(RequestRuntime) private readonly runtime: RequestRuntime,
    @Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<undefined> {
    const exchange = httpExchange(context, this.adapterHost.httpAdapter.getType());
    const { method, headers } = exchange.request;
    if (method === 'HEAD') return this.#answerHead(exchange);
    if (method === 'GET' && !acceptsEventStream(headers)) {
      throw new NotAcceptableException('This route answers with text/event-stream, which the Accept header excludes');
    }
    const route = this.runtime.routes.routeOf(context.getHandler() as never);
    const { options } = route;
    const name = this.runtime.routes.nameOf(method ?? 'GET', exchange.pattern);
    const principal = identify('principal', options.principal, context, name);
    const refusal = this.runtime.admission.refusalOf({ exchange, options, principal, route: name });
    if (refusal) return this.#refuse(exchange, route, refusal);
    const identity = {
      ...route,
      route: name,
      principal,
      key: identify('key', options.key, context, name),
      remoteAddress: exchange.remoteAddress,
    };
    return new Observable<undefined>((subscriber) => {
      const session = new ManagedSession(this.runtime.registry, identity, new HttpResponse(exchange), (settled) =>
        this.#settle(settled, exchange, route, subscriber),
      );
      session.controller = this.runtime.controllers.find(context.getClass());
      const stream = http2Stream(exchange.response);
      if (stream) this.runtime.http2Sessions.add(stream);
      beginRun(exchange.reply, { session, isDirect: route.isDirect });
      session.start();
      if (session.state === 'closed') return;
      this.#handle(session, route, next);
      return () => session.abandon();
    });
  }

  /** Runs pipes, handler and inner interceptors; what these let through is what the session reads. */
  #handle(session: ManagedSession, route: ManagedRoute, next: CallHandler): void {
    const handled = next.handle();
    if (route.isDirect) {
      // the handler's wrapper has handed the source to the session; only a failure is of interest here
      handled.subscribe({ error: (error: unknown) => session.fail(error) });
    } else {
      session.consume(handled);
    }
  }

  /** The session has opened, or ended before it could. */
  #settle(session: ManagedSession, exchange: HttpExchange, route: ManagedRoute, subscriber: Subscriber<undefined>): void {
    switch (session.closeReason) {
      case 'error':
      case 'slow-client':
        subscriber.error(session.error);
        return;
      case 'timeout':
        subscriber.error(new GatewayTimeoutException('The stream did not begin in time'));
        return;
      case 'shutdown':
        defer(() => this.#refuse(exchange, route, 'shutdown')).subscribe(subscriber);
        return;
      case 'client-disconnect':
        exchange.hijack();
        break;
      default:
        break;
    }
    subscriber.next(undefined);
    subscriber.complete();
  }

  #answerHead(exchange: HttpExchange): Observable<undefined> {
    sendHead(exchange);
    (exchange.response as { end(): void }).end();
    return of(undefined);
  }

  #refuse(exchange: HttpExchange, { options }: ManagedRoute, refusal: Refusal): Observable<undefined> {
    const { registry, shutdown } = this.runtime;
    const error = refusalError(refusal);
    const retryMs = retryAfterMs(refusal, options, shutdown, registry.random);
    registry.rejected(error);
    if (refuseAsStream(exchange, options, retryMs)) return of(undefined);
    this.adapterHost.httpAdapter.setHeader(exchange.reply, 'Retry-After', String(Math.ceil(retryMs / 1000)));
    return new Observable((subscriber) => subscriber.error(error));
  }
}

function identify(
  what: 'principal' | 'key',
  option: ((context: ExecutionContext) => string | undefined) | undefined,
  context: ExecutionContext,
  route: string,
): string | undefined {
  const value: unknown = option?.(context);
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw new SseSessionError(
    'INVALID_OPTION',
    `The option "${what}" of ${route} gave ${show(value)}; expected a string or undefined, and no promise of one.`,
  );
}
