import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  Body,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  ForbiddenException,
  HttpException,
  Param,
  ParseIntPipe,
  RequestMethod,
  UnauthorizedException,
  UseFilters,
  UseGuards,
  ValidationPipe,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { IsString } from 'class-validator';
import { ManagedSse, SessionManager, SseSessionModule, type SseSessionModuleOptions, type SseSource } from 'nestjs-sse-session';
import { EMPTY, NEVER, Observable, concat, concatMap, of, throwError, timer } from 'rxjs';
import { type RunningApp, describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';

class Teapot extends Error {}

@Catch(Teapot)
class TeapotFilter implements ExceptionFilter {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: Teapot, host: ArgumentsHost): void {
    this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { brewed: error.message }, 418);
  }
}

@Catch(HttpException)
class MethodFilter implements ExceptionFilter {
  catch(error: HttpException, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>();
    response.status(error.getStatus() + 1).send(`filtered: ${error.message}`);
  }
}

class Refuse implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

class Unauthorized implements CanActivate {
  async canActivate(): Promise<boolean> {
    throw new UnauthorizedException();
  }
}

class Question {
  @IsString()
  text!: string;
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const upstream = (status: number): HttpException => new HttpException(`the upstream said ${status}`, status);

@Controller()
class FailingController {
  @ManagedSse('guarded')
  @UseGuards(Refuse)
  guarded(): SseSource {
    return NEVER;
  }

  @ManagedSse('unauthorized')
  @UseGuards(Unauthorized)
  unauthorized(): SseSource {
    return NEVER;
  }

  @ManagedSse('piped/:n')
  piped(@Param('n', ParseIntPipe) n: number): SseSource {
    return of(n);
  }

  @ManagedSse('validated', { method: RequestMethod.POST })
  validated(@Body(new ValidationPipe()) question: Question): SseSource {
    return of(question.text);
  }

  @ManagedSse('throws')
  throws(): SseSource {
    throw new ForbiddenException('thrown');
  }

  @ManagedSse('rejects')
  async rejects(): Promise<SseSource> {
    await soon();
    throw new ForbiddenException('rejected');
  }

  @ManagedSse('observable')
  observable(): SseSource {
    return throwError(() => upstream(429));
  }

  @ManagedSse('late-promise-of-observable')
  async latePromise(): Promise<SseSource> {
    await soon();
    return throwError(() => upstream(429));
  }

  @ManagedSse('generator')
  async *generator(): AsyncGenerator<string> {
    throw upstream(429);
  }

  @ManagedSse('subscribe')
  subscribing(): SseSource {
    return new Observable(() => {
      throw upstream(429);
    });
  }

  @ManagedSse('unserializable')
  unserializable(): SseSource {
    return of({ data: 10n });
  }

  @ManagedSse('plain-error')
  plainError(): SseSource {
    throw new Error('a secret');
  }

  @ManagedSse('teapot')
  teapot(): SseSource {
    throw new Teapot('tea');
  }

  @ManagedSse('teapot-source')
  teapotSource(): SseSource {
    return throwError(() => new Teapot('more tea'));
  }

  @ManagedSse('method-filter')
  @UseFilters(MethodFilter)
  methodFilter(): SseSource {
    throw new BadRequestException('mine');
  }

  @ManagedSse('first/:status', { openOn: 'first-event' })
  async *first(@Param('status', ParseIntPipe) status: number): AsyncGenerator<string> {
    await soon();
    throw upstream(status);
  }

  @ManagedSse('first-ok', { openOn: 'first-event' })
  async *firstOk(): AsyncGenerator<string> {
    await soon();
    yield 'an event';
    await soon();
    throw upstream(429);
  }

  @ManagedSse('first-none', { openOn: 'first-event' })
  firstNone(): SseSource {
    return EMPTY;
  }

  @ManagedSse('late/:kind')
  late(@Param('kind') kind: string): SseSource {
    const error = kind === 'http' ? upstream(429) : new Error('a secret');
    return concat(of('an event'), timer(5).pipe(concatMap(() => throwError(() => error))));
  }
}

describeEachAdapter('a request that fails', ({ startApp }) => {
  const start = (options: SseSessionModuleOptions = {}): Promise<RunningApp> =>
    startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false, ...options })],
      controllers: [FailingController],
      configure: (app) => {
        app.useLogger(false);
        app.useGlobalFilters(new TeapotFilter(app.get(HttpAdapterHost)));
      },
    });

  describe('before its stream opens', () => {
    it.each<[string, number, unknown]>([
      ['piped/x', 400, { message: 'Validation failed (numeric string is expected)' }],
      ['throws', 403, { message: 'thrown' }],
      ['rejects', 403, { message: 'rejected' }],
      ['observable', 429, { message: 'the upstream said 429' }],
      ['late-promise-of-observable', 429, { message: 'the upstream said 429' }],
      ['generator', 429, { message: 'the upstream said 429' }],
      ['subscribe', 429, { message: 'the upstream said 429' }],
      ['unserializable', 500, { message: 'Internal server error' }],
      ['plain-error', 500, { message: 'Internal server error' }],
      ['teapot', 418, { brewed: 'tea' }],
      ['teapot-source', 418, { brewed: 'more tea' }],
      ['first/401', 401, { message: 'the upstream said 401' }],
      ['first/429', 429, { message: 'the upstream said 429' }],
    ])('answers %s with %d through the exception filters', async (path, status, body) => {
      const { url, app } = await start();
      const response = await fetch(`${url}/${path}`, { headers: { Accept: 'text/event-stream' } });
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
      expect(response.headers.get('x-accel-buffering')).toBeNull();
      expect(await response.json()).toMatchObject(body as object);
      await eventually(() => expect(app.get(SessionManager).stats()).toMatchObject({ opened: 0, endedByReason: { error: 1 } }));
    });

    it.each([
      ['guarded', 403],
      ['unauthorized', 401],
    ])('makes no session for what a guard refuses (%s)', async (path, status) => {
      const { url, app } = await start();
      expect((await fetch(`${url}/${path}`)).status).toBe(status);
      expect(Object.values(app.get(SessionManager).stats().endedByReason)).not.toContain(1);
    });

    it('answers 400 to a body that does not validate', async () => {
      const { url } = await start();
      const post = (body: unknown) =>
        fetch(`${url}/validated`, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
      expect((await post({ text: 5 })).status).toBe(400);
      expect(await (await post({ text: 'why' })).text()).toBe('data: why\n\n');
    });

    it('goes through a filter of the method', async () => {
      const { url } = await start();
      const response = await fetch(`${url}/method-filter`);
      expect([response.status, await response.text()]).toEqual([401, 'filtered: mine']);
    });

    it('leaves the socket to the next request', async () => {
      const { url } = await start();
      for (let i = 0; i < 3; i++) {
        expect((await fetch(`${url}/throws`)).status).toBe(403);
        expect((await fetch(`${url}/first-none`)).status).toBe(200);
      }
    });
  });

  describe('after its stream has opened', () => {
    it.each([
      ['late/http', 'the upstream said 429'],
      ['late/error', 'Internal server error'],
      ['first-ok', 'the upstream said 429'],
    ])('tells the client in one event, and ends: %s', async (path, message) => {
      const { url } = await start();
      const response = await fetch(`${url}/${path}`);
      expect(response.status).toBe(200);
      expect(eventsOf(await response.text())).toMatchObject([{ data: 'an event' }, { event: 'error', data: message }]);
    });

    it('tells what errorEvent makes of it', async () => {
      const { url } = await start({
        errorEvent: (error, session) => ({ data: [(error as Error).message, session.route], type: 'failed' }),
      });
      const body = await (await fetch(`${url}/late/error`)).text();
      expect(eventsOf(body)).toMatchObject([{ data: 'an event' }, { event: 'failed', data: '["a secret","GET /late/:kind"]' }]);
    });

    it.each([{ errorEvent: false as const }, { errorEvent: () => null }])('tells nothing with %p', async (options) => {
      const { url } = await start(options);
      expect(await (await fetch(`${url}/late/error`)).text()).toBe('data: an event\n\n');
    });
  });

  it('answers 200 with openOn: first-event when the source ends without any', async () => {
    const { url, app } = await start();
    const response = await fetch(`${url}/first-none`);
    expect([response.status, await response.text()]).toEqual([200, '']);
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.complete).toBe(1));
  });
});
