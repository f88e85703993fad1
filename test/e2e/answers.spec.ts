import type { ServerResponse } from 'node:http';
import { expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  type INestApplication,
  type NestInterceptor,
  RequestMethod,
  Res,
} from '@nestjs/common';
import {
  type CloseReason,
  ManagedSse,
  type ManagedSseOptions,
  SessionManager,
  type SseSession,
  SseSessionModule,
  type SseSource,
} from 'nestjs-sse-session';
import { CLOCK, FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, type Observable, Subject, catchError, concat, merge, of, retry, throwError } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM, endedBy, startLife, turns } from '../support/life.js';
import { connect } from '../support/raw-client.js';

/*
 * Every request gets one answer, whatever stands outside of @ManagedSse().
 */

/** How long an exception filter may take (lib/request/unanswered.ts). */
const ANSWER_WITHIN_MS = 10_000;

type Change = (values: Observable<unknown>) => Observable<unknown>;

/** A global interceptor that does `change` to what the inner ones emit. */
const outside =
  (change: Change) =>
  (app: INestApplication): void => {
    const interceptor: NestInterceptor = { intercept: (_context: ExecutionContext, next: CallHandler) => change(next.handle()) };
    app.useGlobalInterceptors(interceptor);
  };

const swallow = outside(catchError(() => of('swallowed')));

/** A global filter that answers 403 when it is told to. */
function slowFilter(): { filter: ExceptionFilter; answer: () => void } {
  const waiting: (() => void)[] = [];
  @Catch(ForbiddenException)
  class SlowFilter implements ExceptionFilter {
    async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
      await new Promise<void>((resolve) => waiting.push(resolve));
      host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>().status(403).send('at last');
    }
  }
  return { filter: new SlowFilter(), answer: () => waiting.forEach((resolve) => resolve()) };
}

describeEachAdapter('A request gets its answer', ({ startApp, adapter }) => {
  it.each<[string, () => SseSource, Record<string, string>]>([
    [
      'the handler',
      () => {
        throw new ForbiddenException();
      },
      {},
    ],
    ['the source', () => throwError(() => new ForbiddenException()), {}],
    ['the Accept header', () => NEVER, { Accept: 'application/json' }],
  ])('with 500 when an outer interceptor swallows what %s refused it with', async (_what, handler, headers) => {
    const clock = new FakeClock();
    const life = await startLife(startApp, handler, { clock, app: { configure: swallow } });
    const client = await life.get('/life', headers);
    await eventually(() => expect(clock.pending).toBe(1));
    await turns(20);
    clock.advance(ANSWER_WITHIN_MS - 1);
    await turns(20);
    expect(client.received).toBe('');
    clock.advance(51);
    expect(await client.whole()).toMatchObject({ status: 500, body: '{"statusCode":500,"message":"Internal server error"}' });
    expect(life.logged.filter((line) => line.startsWith('Nobody answered GET /life'))).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('with 500 when an outer interceptor swallows that a limit refused it', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => concat(of('first'), NEVER), {
      clock,
      module: { limits: { maxConnections: 1 }, heartbeat: false },
      app: { configure: swallow },
    });
    await (await life.get()).waitFor('first');
    const client = await life.get();
    await eventually(() => expect(life.manager.stats().rejected).toBe(1));
    await turns(20);
    clock.advance(ANSWER_WITHIN_MS + 50);
    expect(await client.whole()).toMatchObject({ status: 500 });
  });

  it('at the latest when the application has stopped', async () => {
    const life = await startLife(
      startApp,
      () => {
        throw new ForbiddenException();
      },
      { module: { shutdown: { timeoutMs: 100 } }, app: { configure: swallow } },
    );
    const client = await life.get();
    await eventually(() => expect(life.ends).toHaveLength(1));
    await turns(20);
    await life.close();
    expect(await client.whole()).toMatchObject({ status: 500 });
  });

  it('from an exception filter that takes its time', async () => {
    const clock = new FakeClock();
    const { filter, answer } = slowFilter();
    const life = await startLife(
      startApp,
      () => {
        throw new ForbiddenException();
      },
      { clock, app: { configure: (app) => void app.useGlobalFilters(filter) } },
    );
    const client = await life.get();
    await eventually(() => expect(clock.pending).toBe(1));
    clock.advance(ANSWER_WITHIN_MS - 100);
    answer();
    expect(await client.whole()).toMatchObject({ status: 403, body: 'at last' });
    await eventually(() => expect(clock.pending).toBe(0));
    expect(life.logged).toEqual([]);
  });

  it('and none after its client has left', async () => {
    const clock = new FakeClock();
    const life = await startLife(
      startApp,
      () => {
        throw new ForbiddenException();
      },
      { clock, app: { configure: swallow } },
    );
    const client = await life.get();
    await eventually(() => expect(clock.pending).toBe(1));
    await client.fin();
    await eventually(() => expect(clock.pending).toBe(0));
    expect(life.logged).toEqual([]);
  });

  it('at the latest then, also when it fails after the sessions have ended', async () => {
    let fail = (): void => undefined;
    const guarded = new Promise<void>((resolve) => (fail = resolve));
    class Gate implements CanActivate {
      async canActivate(): Promise<boolean> {
        await guarded;
        return true;
      }
    }
    const life = await startLife(startApp, () => NEVER, {
      module: { shutdown: { timeoutMs: 300 }, refusal: 'status' },
      app: { configure: (app) => (swallow(app), void app.useGlobalGuards(new Gate())) },
    });
    const client = await life.get();
    await turns(20);
    const closed = life.close();
    await turns(20);
    fail();
    await closed;
    expect(await client.whole()).toMatchObject({ status: 500 });
  });

  it('from a second run that takes long, when an outer interceptor tries again what failed', async () => {
    const clock = new FakeClock();
    const answer = new Subject<string>();
    let runs = 0;
    const life = await startLife(
      startApp,
      () => {
        if (++runs < 20) throw new ForbiddenException();
        return answer;
      },
      { clock, route: { openOn: 'first-event' }, app: { configure: outside(retry(20)) } },
    );
    const client = await life.get();
    await eventually(() => expect(runs).toBe(20));
    clock.advance(2 * ANSWER_WITHIN_MS);
    await turns(20);
    answer.next('late, and whole');
    answer.complete();
    expect(await client.whole()).toMatchObject({ status: 200, body: 'retry: 2000\ndata: late, and whole\n\n' });
    expect(life.logged).toEqual([]);
  });

  it('once, when an outer interceptor tries again what failed', async () => {
    let runs = 0;
    const life = await startLife(
      startApp,
      () => {
        if (++runs < 3) throw new Error(`attempt ${runs}`);
        return of(`after ${runs} runs`);
      },
      { app: { configure: outside(retry(2)) } },
    );
    expect(await (await life.get()).whole()).toMatchObject({ status: 200, body: 'retry: 2000\ndata: after 3 runs\n\n' });
    await eventually(() => expect(endedBy(life.manager.stats())).toEqual({ error: 2, complete: 1 }));
  });

  it('with 500 when an outer interceptor subscribes to the handler twice at a time', async () => {
    const life = await startLife(startApp, () => NEVER, { app: { configure: outside((values) => merge(values, values)) } });
    expect(await (await life.get()).whole()).toMatchObject({ status: 500 });
    await eventually(() => expect(endedBy(life.manager.stats())).toEqual({ error: 1 }));
    expect(life.logged.join('\n')).toContain('subscribed twice to next.handle() of GET /life');
  });

  it.each<[string, (raw: ServerResponse) => SseSource | Promise<SseSource>, ManagedSseOptions]>([
    ['returns a source', () => of('never sent'), {}],
    ['fails', () => Promise.reject(new Error('after that')), {}],
    ['never returns', () => new Promise<never>(() => undefined), { timeoutMs: 200 }],
  ])('from the handler itself, when that begins the raw response and then %s: it is left to end it', async (_what, handle, route) => {
    const responses: ServerResponse[] = [];
    @Controller()
    class RawController {
      @ManagedSse('raw', route)
      raw(@Res() response: ServerResponse & { raw?: ServerResponse }): SseSource | Promise<SseSource> {
        const raw = response.raw ?? response;
        raw.writeHead(202, { 'Content-Type': 'text/plain' });
        raw.write('part 1, ');
        responses.push(raw);
        return handle(raw);
      }
    }
    const caught: unknown[] = [];
    const life = await startLife(startApp, () => of('good'), {
      app: { controllers: [RawController], configure: (app) => void app.useGlobalFilters({ catch: (error) => caught.push(error) }) },
    });
    const client = await life.get('/raw');
    await client.waitFor('part 1, ');
    await eventually(() => expect(life.manager.size).toBe(0));
    await turns(20);
    responses[0]!.end('part 2');
    expect(await client.whole()).toMatchObject({ status: 202, body: 'part 1, part 2', complete: true });
    expect((await (await life.get()).whole()).body).toContain('data: good');
    expect(caught).toEqual([]);
  });

  type Meddle = (session: SseSession) => unknown;
  it.each<[string, Meddle, string, Partial<Record<CloseReason, number>>]>([
    ['sends', (session) => session.send('from the hook'), 'data: first\n\ndata: from the hook\n\n', {}],
    ['waits for flushed()', (session) => void session.flushed().catch(() => undefined), 'data: first\n\n', {}],
    ['closes the session', (session) => session.close(), 'data: first\n\n', { cancelled: 1 }],
  ])('with one head, also when a hook of the head %s', async (_what, meddle, body, ended) => {
    let act: () => unknown = () => undefined;
    const life = await startLife(
      startApp,
      (session) => {
        act = () => meddle(session);
        return concat(of('first'), NEVER);
      },
      {
        app: {
          configure: (app) =>
            void app.use((_request: unknown, response: ServerResponse, next: () => void) => {
              const writeHead = response.writeHead.bind(response);
              response.writeHead = (...args: unknown[]) => {
                act();
                return Reflect.apply(writeHead, response, args) as ServerResponse;
              };
              next();
            }),
        },
      },
    );
    const client = await life.get();
    await client.waitFor(body);
    await turns(5);
    expect(client.body).toBe(`retry: 2000\n${body}`);
    await eventually(() => expect(endedBy(life.manager.stats())).toEqual(ended));
    expect(client.received.split('HTTP/1.1 200')).toHaveLength(2);
  });

  it('although its Accept header is empty', async () => {
    const life = await startLife(startApp, () => of('good'));
    expect(await (await life.get('/life', { Accept: '' })).whole()).toMatchObject({ status: 200 });
  });

  it('of one in many: as many are admitted as there is room for, when all wait for the same guard', async () => {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    let waiting = 0;
    class Gate implements CanActivate {
      async canActivate(): Promise<boolean> {
        waiting++;
        await opened;
        return true;
      }
    }
    const life = await startLife(startApp, () => concat(of('first'), NEVER), {
      module: { limits: { maxConnections: 3 } },
      app: { configure: (app) => void app.useGlobalGuards(new Gate()) },
    });
    await Promise.all(Array.from({ length: 20 }, () => life.get('/life', EVENT_STREAM)));
    await eventually(() => expect(waiting).toBe(20));
    open();
    await eventually(() => expect(life.manager.stats()).toMatchObject({ rejected: 17, sessions: { open: 3 } }));
    expect(life.sessions).toHaveLength(3);
  });

  it('and its connection is closed after a refusal at shutdown', async () => {
    const life = await startLife(startApp, () => concat(of('first'), NEVER), {
      clock: new FakeClock(),
      module: { shutdown: { finishMs: 8_000 } },
    });
    await (await life.get()).waitFor('first');
    const eventSource = await life.get('/nowhere');
    const other = await life.get('/nowhere');
    await Promise.all([eventSource.whole(), other.whole()]);
    const closed = life.close();
    await turns(20);
    eventSource.request('GET', '/life', EVENT_STREAM);
    other.request('GET', '/life');
    await Promise.all([eventSource.closed, other.closed]);
    expect([eventSource.response, other.response]).toMatchObject([
      { status: 200, headers: { connection: 'close' } },
      { status: 503, headers: { connection: 'close' } },
    ]);
    for (const session of life.sessions) session.complete();
    await closed;
  });

  it('and the application stops although its body never ends', async () => {
    @Controller()
    class PostController {
      @ManagedSse('post', { method: RequestMethod.POST })
      post(): SseSource {
        return concat(of('first'), NEVER);
      }
    }
    const clock = new FakeClock();
    const running = await startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false })],
      controllers: [PostController],
      appOptions: { bodyParser: false },
      overrides: (builder) => builder.overrideProvider(CLOCK).useValue(clock),
      configure: (app) => {
        if (adapter === 'fastify') leaveBodiesAlone(app);
      },
    });
    const client = await connect(running.port);
    client.write('POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhalf of it');
    await client.waitFor('first');
    await running.close();
    await client.closed;
    expect(client.response).toMatchObject({ status: 200, complete: true });
    expect(running.app.get(SessionManager).stats().endedByReason.shutdown).toBe(1);
  });
});

function leaveBodiesAlone(app: INestApplication): void {
  const fastify = app.getHttpAdapter().getInstance() as {
    removeAllContentTypeParsers(): void;
    addContentTypeParser(type: string, parser: (request: unknown, payload: unknown, done: (error: null) => void) => void): void;
  };
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
}
