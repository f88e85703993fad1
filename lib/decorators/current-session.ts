import { type ExecutionContext, createParamDecorator } from '@nestjs/common';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError } from '../errors.js';
import { sessionOf } from '../request/current-run.js';
import type { SseSession } from '../session/sse-session.js';

const currentSession = createParamDecorator((_: unknown, context: ExecutionContext): SseSession => {
  const session = sessionOf(context.switchToHttp().getResponse());
  if (session) return session;
  throw new SseSessionError(
    'NO_SESSION',
    `@CurrentSession() stands in ${context.getClass().name}.${context.getHandler().name}, which has no session; it goes with @ManagedSse().`,
  );
});

/** The {@link SseSession} of a managed handler. */
export function CurrentSession(): ParameterDecorator {
  assertSingleCopy();
  return currentSession();
}
