import { createRequire } from 'node:module';
import fastifyCompress from '@fastify/compress';
import fastifyCookie from '@fastify/cookie';
import fastifyCors from '@fastify/cors';
import { expect, it } from '@jest/globals';
import { Body, Controller, Get, type INestApplication, Param, Query, Req, RequestMethod, Res } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiProperty, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import compression from 'compression';
import type { RequestHandler } from 'express';
import { CurrentSession, LastEventId, ManagedSse, SessionManager, SseSession, SseSessionModule, type SseSource } from 'nestjs-sse-session';
import { NEVER, concat, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { readAll } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

// it has no types of its own
const cookieParser = createRequire(import.meta.url)('cookie-parser') as () => RequestHandler;

interface CookieReply {
  cookie(name: string, value: string, options?: object): unknown;
}

function setCookies(reply: CookieReply): void {
  reply.cookie('seen', 'yes', { httpOnly: true, path: '/' });
  reply.cookie('theme', 'dark & blue');
}

class Question {
  @ApiProperty()
  text!: string;
}

@Controller('plugins')
class PluginsController {
  @ManagedSse('open')
  open(): SseSource {
    return concat(of('x'.repeat(5_000)), NEVER);
  }

  @Get('json')
  json(): object {
    return { text: 'x'.repeat(5_000) };
  }

  @ManagedSse('cookies')
  cookies(@Res({ passthrough: true }) reply: CookieReply, @Req() request: { cookies: Record<string, string> }): SseSource {
    setCookies(reply);
    return of(request.cookies);
  }

  @Get('plain-cookies')
  plainCookies(@Res({ passthrough: true }) reply: CookieReply): string {
    setCookies(reply);
    return 'plain';
  }

  @ManagedSse('ask/:id', { method: RequestMethod.POST })
  ask(
    @Param('id') id: string,
    @Query('lang') lang: string,
    @Body() body: Question,
    @CurrentSession() _session: SseSession,
    @LastEventId() _last: string | undefined,
  ): SseSource {
    return of([id, lang, body]);
  }

  @ManagedSse('watch/:id')
  watch(@Param('id') id: string, @CurrentSession() _session: SseSession): SseSource {
    return of(id);
  }
}

describeEachAdapter('with plugins', ({ startApp, adapter }) => {
  const isFastify = adapter === 'fastify';
  const start = (configure: (app: INestApplication) => void | Promise<void>) =>
    startApp({ imports: [SseSessionModule.forRoot({ retryMs: false })], controllers: [PluginsController], configure });

  /** The plugins are typed for the Fastify of the root, the application may have that of Nest 11. */
  const register = async (app: INestApplication, plugin: unknown, options?: object) => {
    await (app as NestFastifyApplication).register(plugin as never, options as never);
  };

  const expectUncompressed = async (url: string, port: number) => {
    const json = await fetch(`${url}/plugins/json`, { headers: { 'Accept-Encoding': 'gzip' } });
    expect(json.headers.get('content-encoding')).toBe('gzip');
    await json.text();
    const client = await connect(port);
    client.request('GET', '/plugins/open', { 'Accept-Encoding': 'gzip, br', Accept: 'text/event-stream' });
    const { headers, body } = await client.waitFor((raw) => raw.body.endsWith('\n\n'));
    expect(headers['content-encoding']).toBeUndefined();
    expect(body).toBe(`data: ${'x'.repeat(5_000)}\n\n`);
  };

  it('of the middleware compression, events arrive at once and as they are', async () => {
    const { url, port } = await start((app) => void app.use(compression({ threshold: 0 })));
    await expectUncompressed(url, port);
  });

  if (isFastify) {
    it('of @fastify/compress, events arrive at once and as they are', async () => {
      const { url, port } = await start((app) => register(app, fastifyCompress, { threshold: 0 }));
      await expectUncompressed(url, port);
    });
  }

  it('for cookies, a handler reads those of the request, and its own go out with those of others', async () => {
    const { url } = await start(async (app) => {
      if (isFastify) await register(app, fastifyCookie);
      else app.use(cookieParser());
      app.use((_request: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
        response.setHeader('Set-Cookie', 'early=1');
        next();
      });
    });
    const response = await fetch(`${url}/plugins/cookies`, { headers: { Cookie: 'sid=abc; other=1' } });
    expect(await response.text()).toBe('data: {"sid":"abc","other":"1"}\n\n');
    const cookies = response.headers.getSetCookie();
    expect(cookies).toEqual(expect.arrayContaining(['early=1', expect.stringMatching(/^seen=yes; Path=\/; HttpOnly/)]));
    const plain = await fetch(`${url}/plugins/plain-cookies`);
    expect([...cookies].sort()).toEqual(plain.headers.getSetCookie().sort());
    expect(cookies).toHaveLength(3);
  });

  it.each(isFastify ? ['enableCors', '@fastify/cors'] : ['enableCors'])(
    'for CORS, its headers go out with the stream (%s)',
    async (how) => {
      const options = { origin: 'https://app.example', credentials: true, exposedHeaders: ['X-Seen'] };
      const { url } = await start((app) => (how === 'enableCors' ? app.enableCors(options) : register(app, fastifyCors, options)));
      const request = { headers: { Origin: 'https://app.example', Accept: 'text/event-stream' } };
      const response = await fetch(`${url}/plugins/watch/7`, request);
      expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example');
      expect(response.headers.get('access-control-allow-credentials')).toBe('true');
      expect(response.headers.get('access-control-expose-headers')).toBe('X-Seen');
      expect(response.headers.get('vary')).toBe((await fetch(`${url}/plugins/json`, request)).headers.get('vary'));
      expect(response.headers.get('content-type')).toBe('text/event-stream');
      expect(await response.text()).toBe('data: 7\n\n');
      expect((await fetch(`${url}/plugins/watch/7`, { ...request, method: 'HEAD' })).headers.get('access-control-allow-origin')).toBe(
        'https://app.example',
      );
    },
  );

  it('@nestjs/swagger describes the routes, without a parameter that they do not have', async () => {
    const { app, url } = await start(() => undefined);
    const { paths } = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    const parametersOf = (route: string, method: 'get' | 'post') =>
      (paths[route]?.[method]?.parameters as { name: string; in: string }[] | undefined)?.map(({ name, in: where }) => `${where} ${name}`);
    expect(parametersOf('/plugins/watch/{id}', 'get')).toEqual(['path id']);
    expect(parametersOf('/plugins/ask/{id}', 'post')?.sort()).toEqual(['path id', 'query lang']);
    expect(parametersOf('/plugins/open', 'get')).toEqual([]);
    expect(paths['/plugins/ask/{id}']?.post?.requestBody).toBeDefined();
    expect((await readAll(`${url}/plugins/watch/7`)).data).toEqual(['7']);
  });

  if (isFastify) {
    it("Fastify's inject() reads a stream that ends, and its session is complete", async () => {
      const { app } = await start(() => undefined);
      const fastify = app.getHttpAdapter().getInstance() as { inject(url: string): Promise<{ statusCode: number; body: string }> };
      expect(await fastify.inject('/plugins/watch/7')).toMatchObject({ statusCode: 200, body: 'data: 7\n\n' });
      await eventually(() => expect(app.get(SessionManager).stats().endedByReason).toMatchObject({ complete: 1, 'client-disconnect': 0 }));
    });
  }
});
