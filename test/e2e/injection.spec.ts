import { expect, it } from '@jest/globals';
import { type ArgumentsHost, Catch, Controller, Get, Inject, Injectable, Param, Scope } from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';
import {
  type CloseReason,
  CurrentSession,
  LastEventId,
  ManagedSse,
  OnSseSession,
  SessionManager,
  SseSession,
  SseSessionModule,
  type SseSource,
} from 'nestjs-sse-session';
import { NEVER, concat, defer, of, throwError, timer } from 'rxjs';
import { concatMap } from 'rxjs/operators';
import { type AppDescription, describeEachAdapter } from '../support/apps.js';
import { readAll } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

const heard: string[] = [];

@Injectable()
class Audit {
  readonly name = 'audit';

  @OnSseSession('open')
  onOpen(session: SseSession): void {
    heard.push(`${this.name} open ${session.route}`);
  }

  @OnSseSession('timeout')
  onTimeout(session: SseSession): void {
    heard.push(`${this.name} timeout ${session.state}`);
  }

  @OnSseSession('error')
  onError(_session: SseSession, error: unknown): void {
    heard.push(`${this.name} error ${(error as Error).message}`);
  }

  @OnSseSession('completion')
  async onCompletion(_session: SseSession, reason: CloseReason): Promise<void> {
    heard.push(`${this.name} completion ${reason}`);
  }
}

@Injectable()
class DerivedAudit extends Audit {
  override readonly name = 'derived' as never;
}

@Injectable()
class Notifier {
  constructor(@Inject(SessionManager) private readonly sessions: SessionManager) {}

  notify(text: string): number {
    return this.sessions.broadcast({ type: 'note', data: text });
  }
}

@Controller()
class StreamsController {
  readonly name = 'controller';

  constructor(
    @Inject(SessionManager) private readonly sessions: SessionManager,
    @Inject(Notifier) private readonly notifier: Notifier,
  ) {}

  @OnSseSession('completion')
  heardByController(session: SseSession): void {
    heard.push(`${this.name} completion ${session.route}`);
  }

  @ManagedSse('one')
  one(): SseSource {
    return of('one');
  }

  @ManagedSse('fails')
  fails(): SseSource {
    return concat(of('one'), timer(2).pipe(concatMap(() => throwError(() => new Error('broken')))));
  }

  @ManagedSse('times-out', { timeoutMs: 20 })
  timesOut(): SseSource {
    return NEVER;
  }

  @ManagedSse('open')
  open(): SseSource {
    return NEVER;
  }

  @ManagedSse('last')
  last(@LastEventId() id: string | undefined): SseSource {
    return of({ data: { id: id ?? 'none' } });
  }

  @Get('last-plain')
  lastPlain(@LastEventId() id: string | undefined): string {
    return id ?? 'none';
  }

  @ManagedSse('context/:id')
  context(@CurrentSession() session: SseSession<{ seen: number }>, @Param('id') id: string): SseSource {
    session.data.seen = Number(id);
    return defer(() => of([session.data, this.sessions.get(session.id) === session, this.sessions.has(session.id), session.state]));
  }

  @Get('outside')
  outside(@CurrentSession() session: SseSession): string {
    return session.id;
  }

  @Get('notify/:text')
  notify(@Param('text') text: string): number {
    return this.notifier.notify(text);
  }
}

@Injectable({ scope: Scope.REQUEST })
class RequestScoped {
  @OnSseSession('open')
  onOpen(): void {}
}

@Injectable({ scope: Scope.TRANSIENT })
class Transient {
  @OnSseSession('completion')
  onCompletion(): void {}
}

@Injectable()
class DependsOnRequest {
  constructor(@Inject(RequestScoped) readonly scoped: RequestScoped) {}

  @OnSseSession('error')
  onError(): void {}
}

@Controller({ path: 'scoped', scope: Scope.REQUEST })
class ScopedController {
  @OnSseSession('open')
  onOpen(): void {}
}

describeEachAdapter('in the application', ({ startApp }) => {
  const start = (more: Partial<AppDescription> = {}) => {
    heard.length = 0;
    return startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false })],
      controllers: [StreamsController],
      providers: [Audit, Notifier],
      configure: (app) => app.useLogger(false),
      ...more,
    });
  };

  it('@OnSseSession() methods of providers and controllers hear of every session, with their this', async () => {
    const { url } = await start();
    await readAll(`${url}/one`);
    await eventually(() => expect(heard).toHaveLength(3));
    expect(heard).toEqual(['audit open GET /one', 'audit completion complete', 'controller completion GET /one']);
    heard.length = 0;
    await readAll(`${url}/fails`);
    await eventually(() => expect(heard).toHaveLength(4));
    expect(heard.slice(0, 3)).toEqual(['audit open GET /fails', 'audit error broken', 'audit completion error']);
    heard.length = 0;
    await readAll(`${url}/times-out`);
    await eventually(() => expect(heard).toHaveLength(4));
    expect(heard.slice(0, 3)).toEqual(['audit open GET /times-out', 'audit timeout closed', 'audit completion timeout']);
  });

  it('@OnSseSession() methods are inherited, and an instance under several tokens is called once', async () => {
    const { url } = await start({
      providers: [
        DerivedAudit,
        { provide: 'alias', useExisting: DerivedAudit },
        { provide: 'again', useFactory: (a: DerivedAudit) => a, inject: [DerivedAudit] },
        Notifier,
      ],
    });
    await readAll(`${url}/one`);
    await eventually(() => expect(heard).toHaveLength(3));
    expect(heard).toEqual(['derived open GET /one', 'derived completion complete', 'controller completion GET /one']);
  });

  it('@OnSseSession() hears of providers that are made by a value or a factory', async () => {
    const { url } = await start({
      providers: [
        { provide: 'value', useValue: new Audit() },
        { provide: 'factory', useFactory: async () => new DerivedAudit() },
        Notifier,
      ],
    });
    await readAll(`${url}/one`);
    await eventually(() => expect(heard).toHaveLength(5));
    expect(heard.filter((line) => line.includes('completion complete')).sort()).toEqual([
      'audit completion complete',
      'derived completion complete',
    ]);
  });

  it.each([
    ['a request-scoped provider', { providers: [RequestScoped, Notifier] }, `@OnSseSession('open') on RequestScoped.onOpen`],
    ['a transient provider', { providers: [Transient, Notifier] }, `@OnSseSession('completion') on Transient.onCompletion`],
    [
      'a provider that depends on a request-scoped one',
      { providers: [{ provide: RequestScoped, useClass: class {}, scope: Scope.REQUEST }, DependsOnRequest, Notifier] },
      `@OnSseSession('error') on DependsOnRequest.onError`,
    ],
    ['a request-scoped controller', { controllers: [ScopedController] }, `@OnSseSession('open') on ScopedController.onOpen`],
  ])('refuses @OnSseSession() on %s at start', async (_what, description, message) => {
    await expect(start(description as Partial<AppDescription>)).rejects.toMatchObject({
      code: 'INVALID_HOOK',
      message: expect.stringContaining(message) as unknown,
    });
  });

  it('refuses a kind of hook that there is not', () => {
    const define = () => {
      class Audit {
        @OnSseSession('close' as never)
        note(): void {}
      }
      return Audit;
    };
    expect(define).toThrow(expect.objectContaining({ code: 'INVALID_HOOK' }));
    expect(define).toThrow('@OnSseSession() on Audit.note got "close"; expected open, completion, timeout, error.');
  });

  it('@CurrentSession() is the session that the manager has', async () => {
    const { url } = await start();
    expect((await readAll(`${url}/context/7`)).data).toEqual(['[{"seen":7},true,true,"connecting"]']);
  });

  it('@CurrentSession() outside a managed route is an error that says where', async () => {
    const caught: unknown[] = [];
    @Catch()
    class Watch extends BaseExceptionFilter {
      override catch(error: unknown, host: ArgumentsHost): void {
        caught.push(error);
        super.catch(error, host);
      }
    }
    const { url } = await start({
      configure: (app) => {
        app.useLogger(false);
        app.useGlobalFilters(new Watch(app.get(HttpAdapterHost).httpAdapter));
      },
    });
    expect((await fetch(`${url}/outside`)).status).toBe(500);
    expect(caught).toHaveLength(1);
    expect(caught[0]).toMatchObject({ code: 'NO_SESSION', message: expect.stringContaining('StreamsController.outside') as unknown });
  });

  it.each([
    ['the header', { 'Last-Event-ID': '42' }, '', '42'],
    ['the header in UTF-8', { 'Last-Event-ID': 'grüße-😀' }, '', 'grüße-😀'],
    ['the query parameter', {}, '?lastEventId=43', '43'],
    ['the query parameter in UTF-8', {}, `?lastEventId=${encodeURIComponent('grüße-😀')}`, 'grüße-😀'],
    ['the header rather than the query parameter', { 'Last-Event-ID': '42' }, '?lastEventId=43', '42'],
    ['the query parameter rather than an empty header', { 'Last-Event-ID': '' }, '?lastEventId=43', '43'],
    ['none, of an empty parameter', {}, '?lastEventId=', 'none'],
    ['none, of a repeated parameter', {}, '?lastEventId=1&lastEventId=2', 'none'],
    ['none', {}, '', 'none'],
  ])('@LastEventId() is %s', async (_what, headers, query, expected) => {
    const { port } = await start();
    const client = await connect(port);
    const { body } = await client.request('GET', `/last${query}`, headers).whole();
    expect(body).toBe(`data: ${JSON.stringify({ id: expected })}\n\n`);
  });

  it('@LastEventId() takes bytes that are no UTF-8 as Node reads them', async () => {
    const { port } = await start();
    const client = await connect(port);
    client.socket.write(Buffer.from('GET /last HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: gr\xfc\xdfe\r\n\r\n', 'latin1'));
    expect((await client.whole()).body).toBe('data: {"id":"grüße"}\n\n');
  });

  it('@LastEventId() goes with every route', async () => {
    const { url } = await start();
    expect(await (await fetch(`${url}/last-plain`, { headers: { 'Last-Event-ID': '7' } })).text()).toBe('7');
  });

  it('the SessionManager is to be had in any provider', async () => {
    const { url, port, app } = await start();
    const client = await connect(port);
    client.request('GET', '/open');
    await eventually(() => expect(app.get(SessionManager).size).toBe(1));
    expect(await (await fetch(`${url}/notify/hello`)).text()).toBe('1');
    await client.waitFor('event: note\ndata: hello\n\n');
  });
});
