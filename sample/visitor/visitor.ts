import { randomUUID } from 'node:crypto';
import type { ExecutionContext } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

const COOKIE = 'sse-sample-visitor';

/** Who asks: the random secret that the page's first load has put in a cookie. It owns what the visitor starts, and is shown to nobody. */
export function visitorOf(request: Request): string | undefined {
  const cookies = request.headers.cookie?.split(';').map((cookie) => cookie.trim()) ?? [];
  return cookies.find((cookie) => cookie.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1) || undefined;
}

export function visitorIn(context: ExecutionContext): string | undefined {
  return visitorOf(context.switchToHttp().getRequest<Request>());
}

/** Stands in for a login. */
export function giveVisitorCookie(request: Request, response: Response, next: NextFunction): void {
  if (request.path === '/' && visitorOf(request) === undefined) {
    response.cookie(COOKIE, randomUUID(), { httpOnly: true, sameSite: 'strict' });
  }
  next();
}
