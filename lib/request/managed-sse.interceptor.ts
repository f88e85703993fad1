import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  NotAcceptableException,
  Optional,
  UnauthorizedException,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type Observable, defer, finalize, of } from 'rxjs';
import { sendHead } from '../connection/http-response.js';
import { SseSessionError } from '../errors.js';
import { acceptsEventStream } from './accept.js';
import { comeBack } from './coming-back.js';
import { sessionOf } from './current-run.js';
import { type HttpExchange, httpExchange } from './http-exchange.js';
import { identityOf } from './identity.js';
import { AUTHORIZATION_ENDED, startSession } from './new-session.js';
import { reject } from './refuse.js';
import { RequestRuntime } from './request-runtime.js';

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
    @Optional() @Inject(RequestRuntime) private readonly runtime: RequestRuntime | undefined,
    @Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<undefined> {
    const { httpAdapter } = this.adapterHost;
    const exchange = httpExchange(context, httpAdapter.getType());
    if (!this.runtime) throw moduleMissing(context);
    const { runtime } = this;
    runtime.watch(exchange);
    if (exchange.request.method === 'HEAD') return this.#answerHead(exchange);
    return defer(() => this.#admit(runtime, context, exchange, next)).pipe(finalize(() => runtime.unanswered.watch(exchange, httpAdapter)));
  }

  /** Who asks for what. */
  #admit(runtime: RequestRuntime, context: ExecutionContext, exchange: HttpExchange, next: CallHandler): Observable<undefined> {
    const adapter = this.adapterHost.httpAdapter;
    // perhaps an outer interceptor tries again
    runtime.unanswered.forget(exchange);
    const { method, headers } = exchange.request;
    if (method === 'GET' && !acceptsEventStream(headers)) {
      throw new NotAcceptableException('This route answers with text/event-stream, which the Accept header excludes');
    }
    const route = runtime.routes.routeOf(context.getHandler() as never);
    const name = runtime.routes.nameOf(method ?? 'GET', exchange.pattern);
    // answered meanwhile, in the place of an interceptor that tries again too late
    if (exchange.isAnswered()) return of(undefined);
    refuseSecondSession(exchange, name);
    const closed = runtime.admission.closedTo(exchange);
    if (closed) return reject({ runtime, adapter, exchange, route }, closed);
    const identity = identityOf(context, exchange, route, name);
    if (identity.authorizedUntil !== undefined && identity.authorizedUntil <= Date.now()) {
      throw runtime.registry.rejected(new UnauthorizedException(AUTHORIZATION_ENDED));
    }
    const request = { runtime, adapter, exchange, route, identity, controllerClass: context.getClass(), next };
    return route.options.resume ? comeBack(request) : startSession(request);
  }

  #answerHead(exchange: HttpExchange): Observable<undefined> {
    sendHead(exchange);
    exchange.response.end();
    return of(undefined);
  }
}

function moduleMissing(context: ExecutionContext): SseSessionError {
  return new SseSessionError(
    'MODULE_MISSING',
    `${context.getClass().name}.${context.getHandler().name}() is decorated with @ManagedSse(), but the application does not import SseSessionModule; ` +
      'add SseSessionModule.forRoot() to the imports of the root module (with isGlobal: false to those of the controller’s module).',
  );
}

/** An outer interceptor may run the handler again when it has failed, but not twice at a time on one response. */
function refuseSecondSession({ reply }: HttpExchange, route: string): void {
  const session = sessionOf(reply);
  if (session === undefined || session.state === 'closed') return;
  throw new SseSessionError(
    'RESPONSE_TAKEN',
    `An outer interceptor subscribed twice to next.handle() of ${route}; its response belongs to session ${session.id} already.`,
  );
}
