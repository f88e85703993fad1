import { AsyncResource } from 'node:async_hooks';
import {
  type CallHandler,
  type ExecutionContext,
  GatewayTimeoutException,
  type HttpException,
  Inject,
  Injectable,
  type NestInterceptor,
  NotAcceptableException,
  Optional,
  type Type,
  UnauthorizedException,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Observable, type Subscriber, catchError, defer, finalize, from, mergeMap, of, throwError } from 'rxjs';
import { HttpResponse, http2Stream, sendHead } from '../connection/http-response.js';
import { SseSessionError, describeError, disown, show, stackOf } from '../errors.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { AuthorizationOptions } from '../options/options.js';
import type { ResetReason } from '../resume/reset.js';
import { LogFollower } from '../resume/log-follower.js';
import { ManagedSession } from '../session/managed-session.js';
import { retryLine } from '../session/retry-line.js';
import type { SessionIdentity } from '../session/session-context.js';
import { acceptsEventStream } from './accept.js';
import type { Refusal } from './admission.js';
import { bindSession, sessionOf } from './current-run.js';
import { type HttpExchange, httpExchange } from './http-exchange.js';
import { lastEventIdOf } from './last-event-id.js';
import { refusalError, refuseAsStream, retryAfterMs, stopReconnecting } from './refuse.js';
import { RequestRuntime } from './request-runtime.js';
import { type FoundLog, type Return, findReturn } from './returning.js';
import type { ManagedRoute } from './route-table.js';

const AUTHORIZATION_ENDED = 'The authorization has ended';

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
    // perhaps an outer interceptor tries again
    runtime.unanswered.forget(exchange);
    const { method, headers } = exchange.request;
    if (method === 'GET' && !acceptsEventStream(headers)) {
      throw new NotAcceptableException('This route answers with text/event-stream, which the Accept header excludes');
    }
    const route = runtime.routes.routeOf(context.getHandler() as never);
    const { options } = route;
    const name = runtime.routes.nameOf(method ?? 'GET', exchange.pattern);
    // answered meanwhile, in the place of an interceptor that tries again too late
    if (exchange.isAnswered()) return of(undefined);
    refuseSecondSession(exchange, name);
    const closed = runtime.admission.closedTo(exchange);
    if (closed) return this.#reject(runtime, exchange, route, closed);
    // not spread from the route: V8 would give each such object a shape of its own, 290 bytes
    const identity = {
      route: name,
      options,
      hooks: route.hooks,
      principal: identify('principal', options.principal, context, name),
      key: identify('key', options.key, context, name),
      remoteAddress: exchange.remoteAddress,
      path: options.resume ? exchange.path : undefined,
      authorizedUntil: options.authorization ? expiryOf(options.authorization, context, name) : undefined,
    };
    if (identity.authorizedUntil !== undefined && identity.authorizedUntil <= Date.now()) {
      throw runtime.registry.rejected(new UnauthorizedException(AUTHORIZATION_ENDED));
    }
    const request = { runtime, exchange, route, identity, controllerClass: context.getClass(), next };
    return options.resume ? this.#find(request) : this.#start(request, undefined);
  }

  /** Looks for what a client of a resumable route comes back to. */
  #find(request: ManagedRequest): Observable<undefined> {
    const { runtime, exchange, route, identity } = request;
    const { registry, admission } = runtime;
    // given more than once in the query it is none of ours
    const given = typeof exchange.query['lastEventId'] === 'object' ? 'more than one' : undefined;
    const lastEventId = lastEventIdOf(exchange.request.headers, exchange.query) ?? given;
    const found = findReturn(registry.directory, identity, lastEventId);
    if (!(found instanceof Promise)) return this.#receive(request, found);
    return from(found).pipe(
      catchError((error: unknown) => {
        registry.logger.error(`The sessions of ${identity.route} could not be looked up: ${describeError(error)}`, stackOf(error));
        return of<Return>({ to: 'start', reset: lastEventId === undefined ? undefined : 'unknown' });
      }),
      mergeMap((known) => {
        // meanwhile the application may stop, or somebody have answered
        if (exchange.isAnswered()) return of(undefined);
        const closed = admission.closedTo(exchange);
        return closed ? this.#reject(runtime, exchange, route, closed) : this.#receive(request, known);
      }),
    );
  }

  /** A client of a resumable route: perhaps it comes back. */
  #receive(request: ManagedRequest, found: Return): Observable<undefined> {
    const { runtime, exchange } = request;
    switch (found.to) {
      case 'nothing':
        stopReconnecting(exchange);
        return of(undefined);
      case 'log': {
        const session = runtime.registry.get(found.log.sessionId);
        return session?.isResumable || session?.state === 'connecting' ? this.#join(request, session, found) : this.#follow(request, found);
      }
      case 'start':
        return this.#start(request, found.reset);
    }
  }

  /** A client that has waited: the session is there, is over already, or has gone with its own client. Then there may be another by now. */
  #rejoin(request: ManagedRequest, { closeReason, log }: ManagedSession): Observable<undefined> {
    if (closeReason === undefined || !log || request.route.options.afterEnd[closeReason] === 'restart') return this.#find(request);
    return this.#receive(request, log.tail > 0 ? { to: 'log', log, after: 0 } : { to: 'nothing' });
  }

  /** The rest of a session that is over, or one that lives on another node. */
  #follow(request: ManagedRequest, { log, after, reset }: FoundLog): Observable<undefined> {
    const { runtime, exchange, route } = request;
    const { registry } = runtime;
    const { options } = route;
    const refusal = runtime.admission.admitConnection(exchange, options);
    if (refusal) return this.#reject(runtime, exchange, route, refusal);
    return this.#respond(request, (response) => {
      const follower = new LogFollower(response, log, after, reset, options, registry.connections);
      follower.start(retryLine(options.retryMs, registry.random), registry.directory);
    });
  }

  /** One more client for a session that there is; while that has not opened, the client waits with the first. */
  #join(request: ManagedRequest, session: ManagedSession, { after, reset }: FoundLog): Observable<undefined> {
    const { runtime, exchange, route, identity } = request;
    const refusal = runtime.admission.admitConnection(exchange, route.options, session);
    if (refusal) return this.#reject(runtime, exchange, route, refusal);
    return new Observable<undefined>((subscriber) => {
      const settle = (settled: ManagedSession): void => this.#settle(settled, runtime, exchange, route, subscriber);
      if (session.state === 'connecting') {
        // in the context of this request, not of the session's
        const onSettled = AsyncResource.bind(() => {
          stop();
          if (session.openedAt === undefined && FAILED.has(session.closeReason)) settle(session);
          else defer(() => this.#rejoin(request, session)).subscribe(subscriber);
        });
        const stopWaiting = session.whenSettled(onSettled);
        const stop = (): void => {
          stopWaiting();
          exchange.response.off('close', stop);
        };
        // who has left is not kept, and does not count
        exchange.response.once('close', stop);
        return stop;
      }
      const response = responseOf(runtime, exchange);
      if (response.isGone) {
        exchange.hijack();
        settle(session);
        return;
      }
      session.attach(response, { after, reset, authorizedUntil: identity.authorizedUntil }, settle);
      bindSession(exchange.reply, session);
      return () => session.abandon();
    });
  }

  #respond({ runtime, exchange }: ManagedRequest, send: (response: HttpResponse) => void): Observable<undefined> {
    return new Observable<undefined>((subscriber) => {
      const response = responseOf(runtime, exchange);
      if (response.isGone) exchange.hijack();
      else send(response);
      subscriber.next(undefined);
      subscriber.complete();
    });
  }

  /** A session of its own: one synchronous step from the look at the limits to the session that counts, so that nobody else is admitted in between. */
  #start(
    { runtime, exchange, route, identity, controllerClass, next }: ManagedRequest,
    reset: ResetReason | undefined,
  ): Observable<undefined> {
    const refusal = runtime.admission.admit({ exchange, options: route.options, principal: identity.principal, route: identity.route });
    if (refusal) return this.#reject(runtime, exchange, route, refusal);
    const controller = runtime.controllers.find(controllerClass);
    return new Observable<undefined>((subscriber) => {
      const session = new ManagedSession(
        runtime.registry,
        identity,
        responseOf(runtime, exchange),
        (settled) => this.#settle(settled, runtime, exchange, route, subscriber),
        reset,
      );
      session.controller = controller;
      session.isDirect = route.isDirect;
      bindSession(exchange.reply, session);
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
      session.watch(handled);
    } else {
      session.consume(handled);
    }
  }

  /** The session has opened, or ended before it could. */
  #settle(
    session: ManagedSession,
    runtime: RequestRuntime,
    exchange: HttpExchange,
    route: ManagedRoute,
    subscriber: Subscriber<undefined>,
  ): void {
    if (session.openedAt === undefined && exchange.isAnswered()) {
      // by the handler, or by middleware: it is theirs to end, and whatever Nest answered would go into the midst of it
      if (session.error !== undefined) runtime.registry.logger.error(describeError(session.error), stackOf(session.error));
      exchange.hijack();
      subscriber.next(undefined);
      subscriber.complete();
      return;
    }
    switch (session.closeReason) {
      case 'error':
      case 'slow-client':
        subscriber.error(session.error);
        return;
      case 'timeout':
        subscriber.error(new GatewayTimeoutException('The stream did not begin in time'));
        return;
      case 'unauthorized':
        subscriber.error(new UnauthorizedException(AUTHORIZATION_ENDED));
        return;
      case 'shutdown':
        defer(() => this.#refuse(runtime, exchange, route, 'shutdown', refusalError('shutdown'))).subscribe(subscriber);
        return;
      default:
        // nobody is there to be answered
        if (session.openedAt === undefined) exchange.hijack();
        break;
    }
    subscriber.next(undefined);
    subscriber.complete();
  }

  #answerHead(exchange: HttpExchange): Observable<undefined> {
    sendHead(exchange);
    exchange.response.end();
    return of(undefined);
  }

  /** A request that never was a session. */
  #reject(runtime: RequestRuntime, exchange: HttpExchange, route: ManagedRoute, refusal: Refusal): Observable<undefined> {
    const error = runtime.registry.rejected(refusalError(refusal));
    return this.#refuse(runtime, exchange, route, refusal, error);
  }

  #refuse(
    { registry, shutdown }: RequestRuntime,
    exchange: HttpExchange,
    { options }: ManagedRoute,
    refusal: Refusal,
    error: HttpException,
  ): Observable<undefined> {
    const retryMs = retryAfterMs(refusal, options, shutdown, registry.random);
    // a connection that is kept alive would keep the server from closing
    if (refusal === 'shutdown' && exchange.request.httpVersionMajor < 2)
      this.adapterHost.httpAdapter.setHeader(exchange.reply, 'Connection', 'close');
    if (refuseAsStream(exchange, options, retryMs)) return of(undefined);
    this.adapterHost.httpAdapter.setHeader(exchange.reply, 'Retry-After', String(Math.ceil(retryMs / 1000)));
    return throwError(() => error);
  }
}

/** Ends after which a request that waited for the session to open is answered as the first one was. */
const FAILED: ReadonlySet<CloseReason | undefined> = new Set<CloseReason | undefined>([
  'error',
  'slow-client',
  'timeout',
  'unauthorized',
  'shutdown',
]);

/** A request for a managed route, once it is known who asks. */
interface ManagedRequest {
  readonly runtime: RequestRuntime;
  readonly exchange: HttpExchange;
  readonly route: ManagedRoute;
  readonly identity: SessionIdentity;
  readonly controllerClass: Type;
  readonly next: CallHandler;
}

function responseOf({ http2Connections }: RequestRuntime, exchange: HttpExchange): HttpResponse {
  const stream = http2Stream(exchange.response);
  return new HttpResponse(exchange, stream && http2Connections.carry(stream));
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

function identify(
  what: 'principal' | 'key',
  option: ((context: ExecutionContext) => string | undefined) | undefined,
  context: ExecutionContext,
  route: string,
): string | undefined {
  const value: unknown = option?.(context);
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  disown(value);
  throw new SseSessionError(
    'INVALID_OPTION',
    `The option "${what}" of ${route} gave ${show(value)}; expected a string or undefined, and no promise of one.`,
  );
}

function expiryOf({ expiresAt }: AuthorizationOptions, context: ExecutionContext, route: string): number | undefined {
  const value: unknown = expiresAt?.(context);
  if (value === undefined || (typeof value === 'number' && !Number.isNaN(value) && !looksLikeSeconds(value))) return value;
  disown(value);
  throw new SseSessionError(
    'INVALID_OPTION',
    `The option "authorization.expiresAt" of ${route} gave ${show(value)}; expected epoch milliseconds (of a JWT: exp * 1000) or undefined, and no promise of them.`,
  );
}

/** Times between 1971 and 5138 in seconds are years before any token in milliseconds. */
function looksLikeSeconds(time: number): boolean {
  return time > 31_536_000 && time < 100_000_000_000;
}
