import type { HttpPair } from '../connection/http-response.js';

/** What is used of a Fastify reply. */
export interface FastifyReplyLike {
  readonly raw: HttpPair['response'];
  readonly server: { serializeCookie?(name: string, value: string, options: unknown): string };
  getHeaders(): Record<string, number | string | string[] | undefined>;
  /** Whether it was sent or hijacked. */
  readonly sent: boolean;
  hijack(): unknown;
}

interface PendingCookie {
  name: string;
  value: string;
  opts: unknown;
}

/**
 * A hijacked reply sends nothing of its own any more: what hooks and plugins have set on it is put on the raw response, and the cookies
 * that `@fastify/cookie` would have added in its `onSend` hook.
 */
export function copyFastifyHeaders(reply: FastifyReplyLike): void {
  const response = reply.raw;
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) response.setHeader(name, value);
  }
  const { server } = reply;
  // without the plugin there is nothing to look for
  if (!hasCookies(server)) return;
  const cookies = pendingCookies(reply).map(({ name, value, opts }) => server.serializeCookie(name, value, opts));
  if (cookies.length === 0) return;
  const earlier = response.getHeader('Set-Cookie');
  response.setHeader('Set-Cookie', [...(earlier === undefined ? [] : [earlier].flat().map(String)), ...cookies]);
}

function hasCookies(server: FastifyReplyLike['server']): server is Required<FastifyReplyLike['server']> {
  return server.serializeCookie !== undefined;
}

function pendingCookies(reply: object): PendingCookie[] {
  const key = Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.setCookies');
  const cookies: unknown = key && (reply as Record<symbol, unknown>)[key];
  return cookies instanceof Map ? [...(cookies as Map<string, PendingCookie>).values()] : [];
}
