import { type ExecutionContext, createParamDecorator } from '@nestjs/common';
import { sessionOf } from '../request/current-run.js';
import { lastEventIdFor } from '../request/last-event-id.js';

/**
 * The id that the client came back with, the application's own or a channel's (not that of a resumable session, which the library takes care of), from the `Last-Event-ID` header, else from the query parameter `lastEventId`; `undefined` on a
 * first connection. (WHATWG HTML, section 9.2.4.)
 */
export const LastEventId: () => ParameterDecorator = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined => {
  const http = context.switchToHttp();
  const request = http.getRequest<{ headers: Record<string, string | undefined>; query?: Record<string, unknown> }>();
  return lastEventIdFor(sessionOf(http.getResponse()), request.headers, request.query ?? {});
});
