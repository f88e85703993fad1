import { type ExecutionContext, createParamDecorator } from '@nestjs/common';
import { lastEventIdOf } from '../request/last-event-id.js';

/**
 * The id that the client came back with, from the `Last-Event-ID` header, else from the query parameter `lastEventId`; `undefined` on a
 * first connection. (WHATWG HTML, section 9.2.4.)
 */
export const LastEventId: () => ParameterDecorator = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined => {
  const request = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined>; query?: Record<string, unknown> }>();
  return lastEventIdOf(request.headers, request.query ?? {});
});
