import { expect, it } from '@jest/globals';
import { Controller, Header, RequestMethod, Res } from '@nestjs/common';
import {
  CurrentSession,
  ManagedSse,
  SessionManager,
  SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
  type SseSource,
} from 'nestjs-sse-session';
import { CLOCK, FakeClock, RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { EMPTY, NEVER, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

let runs = 0;
let current: SseSession | undefined;

@Controller('wire')
class WireController {
  @ManagedSse('one')
  one(): SseSource {
    runs++;
    return of('event');
  }

  @ManagedSse('one', { method: RequestMethod.POST })
  post(): SseSource {
    return of('event');
  }

  @ManagedSse('all', { method: RequestMethod.ALL })
  all(): SseSource {
    return of('event');
  }

  @ManagedSse('empty')
  empty(): SseSource {
    return EMPTY;
  }

  @ManagedSse('quiet')
  quiet(@CurrentSession() session: SseSession): SseSource {
    current = session;
    return NEVER;
  }

  @ManagedSse('busy', { heartbeat: { comment: 'still here' } })
  busy(@CurrentSession() session: SseSession): void {
    current = session;
  }

  @ManagedSse('silent', { heartbeat: false })
  silent(@CurrentSession() session: SseSession): void {
    current = session;
  }

  @ManagedSse('headers')
  @Header('X-Robots-Tag', 'noindex')
  @Header('Cache-Control', 'public, max-age=60')
  @Header('Content-Type', 'text/plain')
  @Header('Content-Length', '5')
  headers(@Res({ passthrough: true }) reply: { header(name: string, value: string | string[]): unknown }): SseSource {
    reply.header('Link', ['</a>; rel=next', '</b>; rel=prev']);
    return of('event');
  }
}

describeEachAdapter('on the wire', ({ startApp, adapter }) => {
  const start = async (options: SseSessionModuleOptions = {}) => {
    runs = 0;
    current = undefined;
    const clock = new FakeClock();
    const running = await startApp({
      imports: [SseSessionModule.forRoot(options)],
      controllers: [WireController],
      overrides: (builder) => builder.overrideProvider(CLOCK).useValue(clock).overrideProvider(RANDOM).useValue(fakeRandom(0)),
    });
    return { ...running, clock, manager: running.app.get(SessionManager) };
  };

  it.each(['GET', 'POST', 'PUT'])('a %s gets status 200 and the headers of a stream, and no others of ours', async (method) => {
    const { port } = await start();
    const path = method === 'PUT' ? '/wire/all' : '/wire/one';
    const client = await connect(port);
    const { status, headers, body } = await client.request(method, path, {}, method === 'GET' ? undefined : '').whole();
    const { date, 'keep-alive': _keepAlive, 'x-powered-by': poweredBy, ...rest } = headers;
    expect(status).toBe(200);
    expect(rest).toEqual({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      connection: 'keep-alive',
      'transfer-encoding': 'chunked',
    });
    expect(date).toBeDefined();
    expect(poweredBy).toBe(adapter === 'express' ? 'Express' : undefined);
    expect(body).toBe('retry: 2000\ndata: event\n\n');
  });

  it('the headers that the application has set go out too, but not those that would break the stream', async () => {
    const { url } = await start();
    const { headers, body } = await fetch(`${url}/wire/headers`);
    expect(headers.get('x-robots-tag')).toBe('noindex');
    expect(headers.get('link')).toBe('</a>; rel=next, </b>; rel=prev');
    expect(headers.get('content-type')).toBe('text/event-stream');
    expect(headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(headers.get('content-length')).toBeNull();
    await body?.cancel();
  });

  it('the opening lines stand at the head of the first event, and the headers go out before it', async () => {
    const { port } = await start({ retryMs: 5_000 });
    const client = await connect(port);
    client.request('GET', '/wire/quiet');
    await client.waitFor('retry: 5000\n');
    expect(client.body).toBe('retry: 5000\n');
    current?.send({ data: 'first', id: 1 });
    await client.waitFor('id: 1');
    expect(client.body).toBe('retry: 5000\ndata: first\nid: 1\n\n');
  });

  it('a session without any event closes its block with a blank line, and one without opening lines is empty', async () => {
    const { url } = await start();
    expect(await (await fetch(`${url}/wire/empty`)).text()).toBe('retry: 2000\n\n');
    const { url: quietly } = await start({ retryMs: false });
    expect(await (await fetch(`${quietly}/wire/empty`)).text()).toBe('');
  });

  it('a heartbeat is one comment line whenever nothing was written for intervalMs, and makes no event', async () => {
    const { port, clock } = await start({ retryMs: false, heartbeat: { intervalMs: 1_000 } });
    const client = await connect(port);
    client.request('GET', '/wire/quiet');
    await eventually(() => expect(current?.state).toBe('open'));
    clock.advance(999);
    current?.send('an event puts it off');
    await client.waitFor('puts it off\n\n');
    clock.advance(999);
    expect(current?.bytesSent).toBe('data: an event puts it off\n\n'.length);
    clock.advance(51);
    clock.advance(1_050);
    await client.waitFor(({ body }) => body.split(':').length === 4);
    expect(client.body).toBe('data: an event puts it off\n\n: heartbeat\n: heartbeat\n');
    expect(eventsOf(client.body)).toHaveLength(1);
    expect(current?.eventsSent).toBe(1);
  });

  it('a route names its own heartbeat comment over the interval of the module, or has none', async () => {
    const { port, clock } = await start({ retryMs: false, heartbeat: { intervalMs: 1_000 } });
    const client = await connect(port);
    client.request('GET', '/wire/busy');
    await eventually(() => expect(current?.state).toBe('open'));
    clock.advance(1_050);
    await client.waitFor(': still here\n');
    const silent = await connect(port);
    silent.request('GET', '/wire/silent');
    await eventually(() => expect(current).toMatchObject({ route: 'GET /wire/silent', state: 'open' }));
    clock.advance(60_000);
    expect(current?.bytesSent).toBe(0);
  });

  it('a comment and an event that is a comment alone have no blank line', async () => {
    const { port } = await start({ retryMs: false });
    const client = await connect(port);
    client.request('GET', '/wire/quiet');
    await eventually(() => expect(current?.state).toBe('open'));
    current?.comment('one\r\ntwo');
    current?.send({ comment: 'three', data: 'x' });
    current?.comment('');
    await client.waitFor(({ body }) => body.endsWith(': \n'));
    expect(client.body).toBe(': one\n: two\n: three\ndata: x\n\n: \n');
  });

  it('HEAD gets the headers, and makes no session', async () => {
    const { url, manager } = await start();
    const response = await fetch(`${url}/wire/one`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(await response.text()).toBe('');
    expect(runs).toBe(0);
    expect(manager.stats()).toMatchObject({ opened: 0, rejected: 0 });
    expect((await fetch(`${url}/wire/one`)).status).toBe(200);
  });

  it.each(['application/json', 'text/html, application/xml;q=0.9', 'text/event-stream;q=0', '*/*, text/event-stream;q=0'])(
    'a GET that accepts %p gets 406, and makes no session',
    async (accept) => {
      const { url, manager } = await start();
      const response = await fetch(`${url}/wire/one`, { headers: { Accept: accept } });
      expect(response.status).toBe(406);
      expect(await response.json()).toMatchObject({ statusCode: 406 });
      expect(runs).toBe(0);
      expect(manager.stats()).toMatchObject({ opened: 0 });
    },
  );

  it.each(['text/event-stream', '*/*', 'text/*', 'application/json, */*;q=0.1', 'text/event-stream, */*;q=0', 'TEXT/Event-Stream;q=0.5'])(
    'a GET that accepts %p gets a stream',
    async (accept) => {
      const { url } = await start();
      expect((await fetch(`${url}/wire/one`, { headers: { Accept: accept } })).status).toBe(200);
    },
  );

  it('a GET without an Accept header gets a stream', async () => {
    const { port } = await start();
    const client = await connect(port);
    expect(await client.request('GET', '/wire/one').whole()).toMatchObject({ status: 200, body: 'retry: 2000\ndata: event\n\n' });
  });

  it('a POST gets a stream whatever it accepts, as LLM SDKs ask for JSON', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/wire/one`, { method: 'POST', headers: { Accept: 'application/json' } });
    expect([response.status, await response.text()]).toEqual([200, 'retry: 2000\ndata: event\n\n']);
  });
});
