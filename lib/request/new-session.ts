import { GatewayTimeoutException, UnauthorizedException } from '@nestjs/common';
import { Observable, type Subscriber, defer } from 'rxjs';
import { describeError, stackOf } from '../errors.js';
import type { ResetReason } from '../event/reset.js';
import { ManagedSession } from '../session/managed-session.js';
import { bindSession } from './current-run.js';
import { type ManagedRequest, responseOf } from './managed-request.js';
import { refuse, reject } from './refuse.js';

/** What a client is told whose token has expired. */
export const AUTHORIZATION_ENDED = 'The authorization has ended';

/**
 * A session of its own for a request: one synchronous step from the look at the limits to the session that counts, so that nobody else is
 * admitted in between.
 * @param reset why its client, which has come back, may have missed something
 */
export function startSession(request: ManagedRequest, reset?: ResetReason): Observable<undefined> {
  const { runtime, exchange, route, identity, controllerClass } = request;
  const refusal = runtime.admission.admit({ exchange, options: route.options, principal: identity.principal, route: identity.route });
  if (refusal) return reject(request, refusal);
  const controller = runtime.controllers.find(controllerClass);
  return new Observable<undefined>((subscriber) => {
    const session = new ManagedSession(
      runtime.registry,
      identity,
      responseOf(request),
      (settled) => settle(settled, request, subscriber),
      reset,
    );
    session.controller = controller;
    session.isDirect = route.isDirect;
    bindSession(exchange.reply, session);
    session.start();
    if (session.state === 'closed') return;
    handle(session, request);
    return () => session.abandon();
  });
}

/** Runs pipes, handler and inner interceptors; what these let through is what the session reads. */
function handle(session: ManagedSession, { route, next }: ManagedRequest): void {
  const handled = next.handle();
  if (route.isDirect) {
    // the handler's wrapper has handed the source to the session; only a failure is of interest here
    session.watch(handled);
  } else {
    session.consume(handled);
  }
}

/** The session has opened, or ended before it could. */
export function settle(session: ManagedSession, request: ManagedRequest, subscriber: Subscriber<undefined>): void {
  // an outer interceptor has given up, and what it threw is answered
  if (subscriber.closed) return;
  const { runtime, exchange } = request;
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
      defer(() => refuse(request, 'shutdown')).subscribe(subscriber);
      return;
    default:
      // nobody is there to be answered
      if (session.openedAt === undefined) exchange.hijack();
      break;
  }
  subscriber.next(undefined);
  subscriber.complete();
}
