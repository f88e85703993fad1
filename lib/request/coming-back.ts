import { AsyncResource } from 'node:async_hooks';
import { Observable, catchError, defer, from, mergeMap, of } from 'rxjs';
import type { HttpResponse } from '../connection/http-response.js';
import { describeError, stackOf } from '../errors.js';
import type { CloseReason } from '../options/close-reasons.js';
import { LogFollower } from '../resume/log-follower.js';
import type { ManagedSession } from '../session/managed-session.js';
import { retryLine } from '../session/retry-line.js';
import { bindSession } from './current-run.js';
import { lastEventIdOf } from './last-event-id.js';
import { type ManagedRequest, responseOf } from './managed-request.js';
import { settle, startSession } from './new-session.js';
import { reject, stopReconnecting } from './refuse.js';
import { type FoundLog, type Return, findReturn } from './returning.js';

/** Ends after which a request that waited for the session to open is answered as the first one was. */
const FAILED: ReadonlySet<CloseReason | undefined> = new Set<CloseReason | undefined>([
  'error',
  'slow-client',
  'timeout',
  'unauthorized',
  'shutdown',
]);

/** Looks for what a client of a resumable route comes back to. */
export function comeBack(request: ManagedRequest): Observable<undefined> {
  const { runtime, exchange, identity } = request;
  const { registry, admission } = runtime;
  // given more than once in the query it is none of ours
  const given = typeof exchange.query['lastEventId'] === 'object' ? 'more than one' : undefined;
  const lastEventId = lastEventIdOf(exchange.request.headers, exchange.query) ?? given;
  const found = findReturn(registry.directory, identity, lastEventId);
  if (!(found instanceof Promise)) return receive(request, found);
  return from(found).pipe(
    catchError((error: unknown) => {
      registry.logger.error(`The sessions of ${identity.route} could not be looked up: ${describeError(error)}`, stackOf(error));
      return of<Return>({ to: 'start', reset: lastEventId === undefined ? undefined : 'unknown' });
    }),
    mergeMap((known) => {
      // meanwhile the application may stop, or somebody have answered
      if (exchange.isAnswered()) return of(undefined);
      const closed = admission.closedTo(exchange);
      return closed ? reject(request, closed) : receive(request, known);
    }),
  );
}

/** A client of a resumable route: perhaps it comes back. */
function receive(request: ManagedRequest, found: Return): Observable<undefined> {
  const { runtime, exchange } = request;
  switch (found.to) {
    case 'nothing':
      stopReconnecting(exchange);
      return of(undefined);
    case 'log': {
      const session = runtime.registry.get(found.log.sessionId);
      return session?.isResumable || session?.state === 'connecting' ? join(request, session, found) : follow(request, found);
    }
    case 'start':
      return startSession(request, found.reset);
  }
}

/** A client that has waited: the session is there, is over already, or has gone with its own client. Then there may be another by now. */
function rejoin(request: ManagedRequest, { closeReason, log }: ManagedSession, { after, reset }: FoundLog): Observable<undefined> {
  // one that has ended before it opened has left nothing that could be come back to
  if (closeReason === undefined || !log?.ending || log.ending.after === 'restart') return comeBack(request);
  return receive(request, log.tail > 0 ? { to: 'log', log, after, reset } : { to: 'nothing' });
}

/** The rest of a session that is over, or one that lives on another node. */
function follow(request: ManagedRequest, { log, after, reset }: FoundLog): Observable<undefined> {
  const { runtime, exchange, route } = request;
  const { registry } = runtime;
  const { options } = route;
  const refusal = runtime.admission.admitConnection(exchange, options);
  if (refusal) return reject(request, refusal);
  return respond(request, (response) => {
    const follower = new LogFollower(response, log, after, reset, options, registry.connections);
    follower.start(retryLine(options.retryMs, registry.random), registry.directory);
  });
}

/** One more client for a session that there is; while that has not opened, the client waits with the first. */
function join(request: ManagedRequest, session: ManagedSession, found: FoundLog): Observable<undefined> {
  const { runtime, exchange, route, identity } = request;
  const refusal = runtime.admission.admitConnection(exchange, route.options, session);
  if (refusal) return reject(request, refusal);
  return new Observable<undefined>((subscriber) => {
    const onSettled = (settled: ManagedSession): void => settle(settled, request, subscriber);
    if (session.state === 'connecting') {
      // in the context of this request, not of the session's
      const lookAgain = AsyncResource.bind(() => {
        stop();
        if (session.openedAt === undefined && FAILED.has(session.closeReason)) onSettled(session);
        else defer(() => rejoin(request, session, found)).subscribe(subscriber);
      });
      const stopWaiting = session.whenSettled(lookAgain);
      const stop = (): void => {
        stopWaiting();
        exchange.response.off('close', stop);
      };
      // who has left is not kept, and does not count
      exchange.response.once('close', stop);
      return stop;
    }
    const response = responseOf(request);
    if (response.isGone) {
      exchange.hijack();
      onSettled(session);
      return;
    }
    const { after, reset } = found;
    session.attach(response, { after, reset, authorizedUntil: identity.authorizedUntil }, onSettled);
    bindSession(exchange.reply, session);
    return () => session.abandon();
  });
}

function respond(request: ManagedRequest, send: (response: HttpResponse) => void): Observable<undefined> {
  return new Observable<undefined>((subscriber) => {
    const response = responseOf(request);
    if (response.isGone) request.exchange.hijack();
    else send(response);
    subscriber.next(undefined);
    subscriber.complete();
  });
}
