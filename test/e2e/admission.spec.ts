import { expect, it } from '@jest/globals';
import { Controller, type ExecutionContext, HttpException, Param, RequestMethod } from '@nestjs/common';
import {
  CurrentSession,
  ManagedSse,
  type SessionEvent,
  SessionManager,
  SseSession,
  SseSessionError,
  SseSessionModule,
  type SseSessionModuleOptions,
  type SseSource,
} from 'nestjs-sse-session';
import { RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { NEVER, of } from 'rxjs';
import { type AppDescription, describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { connectH2, h2Request } from '../support/h2-client.js';
import { type RawClient, connect } from '../support/raw-client.js';

const EVENT_STREAM = { Accept: 'text/event-stream' };

let runs = 0;

const header = (name: string) => (context: ExecutionContext) =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers[name];

@Controller()
class StreamsController {
  @ManagedSse('open')
  open(): SseSource {
    runs++;
    return NEVER;
  }

  @ManagedSse('open', { method: RequestMethod.POST })
  post(): SseSource {
    return NEVER;
  }

  @ManagedSse('other')
  other(): SseSource {
    return NEVER;
  }

  @ManagedSse('limited/:id', { limits: { maxConnections: 1, maxPerPrincipal: 1 } })
  limited(): SseSource {
    return NEVER;
  }

  @ManagedSse('limited-per-principal', { limits: { maxPerPrincipal: 1 } })
  limitedPerPrincipal(): SseSource {
    return NEVER;
  }

  @ManagedSse('unlimited', { limits: { maxConnections: false, maxPerPrincipal: false } })
  unlimited(): SseSource {
    return NEVER;
  }

  @ManagedSse('connecting')
  connecting(): Promise<SseSource> {
    return new Promise<SseSource>(() => undefined);
  }

  @ManagedSse('status', { refusal: 'status' })
  status(): SseSource {
    return NEVER;
  }

  @ManagedSse('ends/:how')
  ends(@Param('how') how: string, @CurrentSession() session: SseSession): SseSource {
    if (how === 'throws') throw new HttpException('thrown', 418);
    if (how === 'cancelled') session.onOpen(() => session.close());
    return how === 'complete' ? of('done') : NEVER;
  }

  @ManagedSse('who')
  who(@CurrentSession() session: SseSession): SseSource {
    return of([session.principal ?? 'nobody', session.key ?? 'no key']);
  }

  @ManagedSse('bad-principal', { principal: () => 42 as never })
  badPrincipal(): SseSource {
    return NEVER;
  }

  @ManagedSse('async-principal', { principal: (() => Promise.resolve('ada')) as never })
  asyncPrincipal(): SseSource {
    return NEVER;
  }

  @ManagedSse('bad-key', { key: () => null as never })
  badKey(): SseSource {
    return NEVER;
  }
}

describeEachAdapter('admission', ({ startApp, adapter }) => {
  const start = async (options: SseSessionModuleOptions, more: Partial<AppDescription> = {}) => {
    runs = 0;
    const running = await startApp({
      imports: [SseSessionModule.forRoot({ principal: header('x-user'), key: header('x-key'), ...options })],
      controllers: [StreamsController],
      overrides: (builder) => builder.overrideProvider(RANDOM).useValue(fakeRandom(0.5)),
      ...more,
    });
    const manager = running.app.get(SessionManager);
    const rejected: SessionEvent[] = [];
    manager.events$.subscribe((event) => event.type === 'rejected' && rejected.push(event));
    /** Opens a stream and waits until it is there. */
    const open = async (path: string, headers: Record<string, string> = {}): Promise<RawClient> => {
      const client = await connect(running.port);
      await client.request('GET', path, { ...EVENT_STREAM, ...headers }).waitFor('retry: ');
      expect(client.response?.complete).toBe(false);
      return client;
    };
    /** The status of a request that is not an `EventSource`'s. */
    const statusOf = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
      const client = await connect(running.port);
      const { status } = await client.request('GET', path, headers).head();
      await client.fin();
      return status;
    };
    return { ...running, manager, rejected, open, statusOf };
  };

  it('refuses with 503 and a jittered Retry-After above maxConnections, whatever the route', async () => {
    const { url, open, manager, rejected } = await start({ limits: { maxConnections: 2 } });
    await open('/open');
    await open('/other');
    const response = await fetch(`${url}/open`);
    expect(response.status).toBe(503);
    // 15 to 30 s
    expect(response.headers.get('retry-after')).toBe('23');
    expect(await response.json()).toMatchObject({ statusCode: 503, message: 'Too many streams are open' });
    expect(manager.size).toBe(2);
    expect(runs).toBe(1);
    expect(manager.stats()).toMatchObject({ rejected: 1, opened: 2 });
    expect(rejected).toHaveLength(1);
    expect(rejected[0]?.error).toBeInstanceOf(HttpException);
    expect(rejected[0]?.session).toBeUndefined();
  });

  it('counts sessions that are still connecting', async () => {
    const { port, manager, statusOf } = await start({ limits: { maxConnections: 1 } });
    const client = (await connect(port)).request('GET', '/connecting');
    await eventually(() => expect(manager.size).toBe(1));
    expect(await statusOf('/open')).toBe(503);
    await client.fin();
    await eventually(() => expect(manager.size).toBe(0));
    expect(await statusOf('/open')).toBe(200);
  });

  it('refuses with 429 above maxPerPrincipal, and lets others in', async () => {
    const { url, open, statusOf } = await start({ limits: { maxPerPrincipal: 2 } });
    await open('/open', { 'X-User': 'ada' });
    await open('/other', { 'X-User': 'ada' });
    const response = await fetch(`${url}/open`, { headers: { 'X-User': 'ada' } });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('23');
    expect(await response.json()).toMatchObject({ statusCode: 429 });
    expect(await statusOf('/open', { 'X-User': 'bob' })).toBe(200);
  });

  it('does not count who has no principal, and takes an empty one for none', async () => {
    const { open, manager } = await start({ limits: { maxPerPrincipal: 1 } });
    await open('/open');
    await open('/open');
    await open('/open', { 'X-User': '' });
    await open('/open', { 'X-User': '' });
    expect([...manager].map(({ principal }) => principal)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('a limit on a route counts the sessions of that route, whatever its parameters; one of the module counts all', async () => {
    const { open, statusOf } = await start({ limits: { maxConnections: 4 } });
    await open('/open');
    await open('/other');
    await open('/limited/1');
    expect(await statusOf('/limited/2')).toBe(503);
    await open('/open');
    expect(await statusOf('/open')).toBe(503);
    // its own limit stands in the place of the module's
    expect(await statusOf('/unlimited')).toBe(200);
  });

  it('a limit per principal on a route counts the sessions of that principal on that route', async () => {
    const { open, statusOf } = await start({ limits: { maxPerPrincipal: 2 } });
    await open('/open', { 'X-User': 'ada' });
    await open('/limited-per-principal', { 'X-User': 'ada' });
    expect(await statusOf('/limited-per-principal', { 'X-User': 'ada' })).toBe(429);
    expect(await statusOf('/limited-per-principal', { 'X-User': 'bob' })).toBe(200);
    expect(await statusOf('/open', { 'X-User': 'ada' })).toBe(429);
  });

  it.each(['complete', 'throws', 'cancelled', 'disconnect'])('gives a place back when its session has ended (%s)', async (how) => {
    const { port, manager, statusOf } = await start({ limits: { maxConnections: 1, maxPerPrincipal: 1 } });
    for (let i = 0; i < 3; i++) {
      const client = await connect(port);
      client.request('GET', `/ends/${how}`, { 'X-User': 'ada' });
      if (how === 'disconnect') {
        await client.head();
        await client.fin();
      } else {
        expect((await client.whole()).status).toBe(how === 'throws' ? 418 : 200);
      }
      await eventually(() => expect(manager.size).toBe(0));
    }
    expect(await statusOf('/open', { 'X-User': 'ada' })).toBe(200);
    expect(manager.stats().rejected).toBe(0);
  });

  it('refuses an EventSource with a 200 that tells it when to come back, and ends', async () => {
    const { port, open, manager } = await start({ limits: { maxConnections: 1 } });
    await open('/open');
    const client = await connect(port);
    const { status, headers, body } = await client.request('GET', '/open', EVENT_STREAM).whole();
    expect(status).toBe(200);
    expect(body).toBe('retry: 22500\n\n');
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(headers['retry-after']).toBeUndefined();
    expect(manager.stats()).toMatchObject({ rejected: 1, opened: 1 });
    expect(manager.size).toBe(1);
  });

  it.each([
    ['a route with refusal: status', 'GET', '/status', 'text/event-stream'],
    ['a POST', 'POST', '/open', 'text/event-stream'],
    ['a GET whose Accept names only */*', 'GET', '/open', '*/*'],
    ['a GET whose Accept names only text/*', 'GET', '/open', 'text/*'],
  ])('refuses %s by status', async (_what, method, path, accept) => {
    const { url, open } = await start({ limits: { maxConnections: 1 } });
    await open('/open');
    const response = await fetch(url + path, { method, headers: { Accept: accept } });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('23');
    expect(response.headers.get('content-type')).toContain('application/json');
  });

  it('refuses by status everywhere with refusal: status of the module, also without a limit for the principal', async () => {
    const { statusOf, open } = await start({ limits: { maxPerPrincipal: 1 }, refusal: 'status' });
    await open('/open', { 'X-User': 'ada' });
    expect(await statusOf('/open', { 'X-User': 'ada', ...EVENT_STREAM })).toBe(429);
  });

  it('runs one handler for 200 requests that are pipelined on one socket, and refuses the others', async () => {
    const { port, manager } = await start({});
    const client = await connect(port);
    const request = `GET /open HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`;
    client.write(request.repeat(200));
    await eventually(() => expect(manager.stats().rejected).toBe(199));
    expect(runs).toBe(1);
    expect(manager.size).toBe(1);

    for (const session of manager) session.complete();
    const answers = () => client.received.split('HTTP/1.1 200 OK').length - 1;
    await eventually(() => expect(answers()).toBe(200));
    await eventually(() => expect(client.received.split('retry: 22500\n\n')).toHaveLength(200));
    expect(runs).toBe(1);
    await eventually(() => expect(manager.size).toBe(0));
  });

  it('takes one stream after the other on a kept socket', async () => {
    const { port, manager } = await start({ limits: { maxConnections: 1 } });
    const client = await connect(port);
    for (let i = 0; i < 5; i++) {
      expect((await client.request('GET', '/ends/complete', EVENT_STREAM).whole()).body).toContain('data: done');
      await eventually(() => expect(manager.size).toBe(0));
    }
    expect(manager.stats()).toMatchObject({ opened: 5, rejected: 0 });
  });

  it('gives a session its principal and its key, an empty string being none', async () => {
    const { url } = await start({ retryMs: false });
    const who = async (headers: Record<string, string>) => (await fetch(`${url}/who`, { headers })).text();
    expect(await who({ 'X-User': 'ada', 'X-Key': 'answer-1' })).toBe('data: ["ada","answer-1"]\n\n');
    expect(await who({ 'X-User': '', 'X-Key': '' })).toBe('data: ["nobody","no key"]\n\n');
    expect(await who({})).toBe('data: ["nobody","no key"]\n\n');
  });

  it.each([
    ['bad-principal', 'The option "principal" of GET /bad-principal gave 42'],
    ['async-principal', 'The option "principal" of GET /async-principal gave an object (Promise)'],
    ['bad-key', 'The option "key" of GET /bad-key gave null'],
  ])('answers 500 and names the option when it gives no string (%s)', async (path, message) => {
    const errors: unknown[] = [];
    const { url, manager } = await start(
      {},
      {
        configure: (app) => {
          const ignore = () => undefined;
          app.useLogger({ log: ignore, warn: ignore, error: (error: unknown) => errors.push(error) });
        },
      },
    );
    expect((await fetch(`${url}/${path}`)).status).toBe(500);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toBeInstanceOf(SseSessionError);
    expect(errors[0]).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining(message) as unknown });
    expect(manager.size).toBe(0);
  });

  if (adapter === 'fastify') {
    const http2 = { adapterOptions: { http2: true } as never };

    it('refuses above maxPerSocket on one HTTP/2 connection, until one of its streams has ended', async () => {
      const { url, manager } = await start({ limits: { maxPerSocket: 2 } }, http2);
      const connection = connectH2(url);
      const first = h2Request(url, '/open', connection);
      const second = h2Request(url, '/other', connection);
      expect(await Promise.all([first.status, second.status])).toEqual([200, 200]);

      const refused = h2Request(url, '/open', connection, '*/*');
      expect(await refused.headers).toMatchObject({ ':status': 503, 'retry-after': '23' });
      const told = h2Request(url, '/open', connection);
      expect([await told.status, await told.whole]).toEqual([200, 'retry: 22500\n\n']);
      expect(manager.stats().rejected).toBe(2);

      expect(await h2Request(url, '/open').status).toBe(200);
      await eventually(() => expect(manager.size).toBe(3));

      first.stream.close();
      await eventually(() => expect(manager.size).toBe(2));
      expect(await h2Request(url, '/open', connection, '*/*').status).toBe(200);
      expect(manager.stats()).toMatchObject({ rejected: 2, endedByReason: { 'client-disconnect': 1 } });
    });

    it('runs each of many streams on one HTTP/2 connection: nothing is pipelined there', async () => {
      const { url, manager } = await start({}, http2);
      const connection = connectH2(url);
      const requests = Array.from({ length: 50 }, () => h2Request(url, '/open', connection));
      expect(new Set(await Promise.all(requests.map(({ status }) => status)))).toEqual(new Set([200]));
      expect(runs).toBe(50);
      expect(manager.size).toBe(50);
      connection.destroy();
      await eventually(() => expect(manager.stats().endedByReason['client-disconnect']).toBe(50));
    });
  }
});
