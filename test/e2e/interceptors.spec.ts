import { expect, it } from '@jest/globals';
import {
  type CallHandler,
  ClassSerializerInterceptor,
  Controller,
  type ExecutionContext,
  HttpException,
  Injectable,
  type NestInterceptor,
  RequestTimeoutException,
  type Type,
  UseInterceptors,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Exclude, Expose } from 'class-transformer';
import {
  CurrentSession,
  ManagedSse,
  SessionManager,
  SseSession,
  type SseSessionError,
  SseSessionModule,
  type SseSource,
  sseEvent,
} from 'nestjs-sse-session';
import {
  type Observable,
  TimeoutError,
  catchError,
  concatMap,
  delay,
  endWith,
  filter,
  from,
  interval,
  map,
  merge,
  of,
  retry,
  startWith,
  take,
  tap,
  throwError,
  timeout,
} from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { dataOf, eventsOf, readAll } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

type Change = (values: Observable<unknown>) => Observable<unknown>;

/** An interceptor that does `change` to what the handler emits. */
function interceptor(change: Change): Type<NestInterceptor> {
  @Injectable()
  class Interceptor implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      return change(next.handle());
    }
  }
  return Interceptor;
}

/** An interceptor that notes in `seen` what passes it. */
const spy = (seen: unknown[]): Type<NestInterceptor> =>
  interceptor((values) =>
    values.pipe(tap({ next: (value) => seen.push(value), complete: () => seen.push('complete'), error: () => seen.push('error') })),
  );

const outer: unknown[] = [];
const inner: unknown[] = [];
let runs = 0;

const double = map((value: unknown) => (typeof value === 'number' ? value * 2 : value));

class User {
  constructor(
    readonly name: string,
    private readonly password: string,
  ) {}

  @Expose()
  get initial(): string {
    return this.name.charAt(0);
  }
}
Exclude()(User.prototype, 'password');

@Injectable()
class Cached implements NestInterceptor {
  intercept(): Observable<unknown> {
    return of('from the cache', { data: 'second', id: 2 });
  }
}

@Injectable()
class Slow implements NestInterceptor {
  async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return next.handle().pipe(map((value) => `slowly ${String(value)}`));
  }
}

@Injectable()
class Refusing implements NestInterceptor {
  async intercept(): Promise<Observable<unknown>> {
    throw new HttpException('Not today', 451);
  }
}

@Controller('each')
class EachController {
  @ManagedSse('mapped')
  @UseInterceptors(interceptor(double))
  mapped(): SseSource {
    return of(1, 2, 3);
  }

  @UseInterceptors(interceptor(double))
  @ManagedSse('mapped-above')
  mappedAbove(): SseSource {
    return of(1, 2, 3);
  }

  @UseInterceptors(interceptor(map((value) => `above(${String(value)})`)))
  @ManagedSse('both')
  @UseInterceptors(interceptor(map((value) => `below(${String(value)})`)))
  async *both(): AsyncGenerator<string> {
    yield 'a';
    yield 'b';
  }

  @ManagedSse('filtered')
  @UseInterceptors(interceptor(filter((value) => value !== undefined && value !== 2)))
  filtered(): SseSource {
    return of<unknown[]>(1, 2, undefined, 3);
  }

  @ManagedSse('taken', { endEvent: { type: 'end' } })
  @UseInterceptors(interceptor(take(2)))
  taken(@CurrentSession() session: SseSession): SseSource {
    session.onCompletion((_session, reason) => inner.push(reason));
    return interval(2).pipe(tap({ unsubscribe: () => inner.push('unsubscribed') }));
  }

  @ManagedSse('caught')
  @UseInterceptors(interceptor(catchError((error: Error) => of(`caught ${error.message}`))))
  async *caught(): AsyncGenerator<string> {
    yield 'fine';
    throw new Error('the source');
  }

  @ManagedSse('caught-handler')
  @UseInterceptors(interceptor(catchError((error: Error) => of(`caught ${error.message}`))))
  caughtHandler(): SseSource {
    throw new Error('the handler');
  }

  @ManagedSse('retried')
  @UseInterceptors(interceptor(retry(2)))
  async retried(): Promise<SseSource> {
    if (++runs < 3) throw new Error(`attempt ${runs}`);
    return of(`after ${runs} runs`);
  }

  @ManagedSse('delayed')
  @UseInterceptors(interceptor(delay(5)))
  delayed(): SseSource {
    return of('a', 'b');
  }

  @ManagedSse('more')
  @UseInterceptors(interceptor((values) => values.pipe(startWith('first'), endWith('last'))))
  more(): SseSource {
    return from(['middle']);
  }

  @ManagedSse('cached')
  @UseInterceptors(Cached)
  cached(): SseSource {
    runs++;
    return of('from the handler');
  }

  @ManagedSse('slow')
  @UseInterceptors(Slow, spy(inner))
  slow(): SseSource {
    return of('a', 'b');
  }

  @ManagedSse('refusing')
  @UseInterceptors(Refusing)
  refusing(): SseSource {
    runs++;
    return of('never');
  }

  @ManagedSse('throwing')
  @UseInterceptors(
    interceptor(
      map(() => {
        throw new HttpException('I map no more', 422);
      }),
    ),
  )
  throwing(): SseSource {
    return of('a');
  }

  @ManagedSse('status')
  @UseInterceptors(interceptor((values) => values))
  async status(): Promise<SseSource> {
    throw new HttpException('payment required', 402);
  }

  @ManagedSse('status-of-source')
  @UseInterceptors(interceptor((values) => values))
  statusOfSource(): SseSource {
    return throwError(() => new HttpException('gone', 410));
  }

  @ManagedSse('serialized')
  @UseInterceptors(ClassSerializerInterceptor)
  serialized(): SseSource {
    return of<unknown[]>(
      new User('Ada', 'secret'),
      { data: new User('Bob', 'secret'), id: 1 },
      sseEvent({ data: 'as it is', type: 'note' }),
    );
  }

  @ManagedSse('twice')
  @UseInterceptors(interceptor((values) => merge(values, values)))
  async *twice(): AsyncGenerator<string> {
    for (let i = 0; i < 5; i++) yield `v${i}`;
  }

  @ManagedSse('paced')
  @UseInterceptors(interceptor(concatMap((value) => of(value).pipe(delay(1)))))
  async *paced(): AsyncGenerator<number> {
    for (let i = 0; i < 5; i++) yield i;
  }
}

@Controller('plain')
@UseInterceptors(spy(outer))
class PlainController {
  @ManagedSse('ticks')
  ticks(): SseSource {
    return interval(2).pipe(map((n) => `tick ${n}`));
  }

  @ManagedSse('three')
  @UseInterceptors(interceptor(double))
  three(): SseSource {
    return of(1, 2, 3);
  }

  @ManagedSse('never')
  never(@CurrentSession() session: SseSession): Promise<SseSource> {
    session.signal.addEventListener('abort', () => inner.push('aborted'));
    session.onError((_session, error) => inner.push((error as SseSessionError).code));
    session.onCompletion((_session, reason) => inner.push(reason));
    return new Promise<SseSource>(() => undefined);
  }

  @ManagedSse('user')
  user(): SseSource {
    return of(new User('Ada', 'secret').initial);
  }
}

describeEachAdapter('interceptors', ({ startApp }) => {
  const start = (globals: (new (...args: never[]) => NestInterceptor)[] = []) => {
    outer.length = inner.length = runs = 0;
    return startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false })],
      controllers: [EachController, PlainController],
      configure: (app) => {
        app.useLogger(false);
        app.useGlobalInterceptors(...globals.map((type) => new type(...([app.get(Reflector)] as never[]))));
      },
    });
  };

  it.each<[string, unknown[]]>([
    ['mapped', ['2', '4', '6']],
    ['mapped-above', ['2', '4', '6']],
    ['filtered', ['1', '3']],
    // Nest's own order: what is decorated first is the outermost
    ['both', ['below(above(a))', 'below(above(b))']],
    ['caught', ['fine', 'caught the source']],
    ['caught-handler', ['caught the handler']],
    ['retried', ['after 3 runs']],
    ['delayed', ['a', 'b']],
    ['more', ['first', 'middle', 'last']],
    ['slow', ['slowly a', 'slowly b']],
    ['paced', ['0', '1', '2', '3', '4']],
    ['twice', ['v0', 'v0', 'v1', 'v1', 'v2', 'v2', 'v3', 'v3', 'v4', 'v4']],
  ])('of the method see each event: %s', async (path, expected) => {
    const { url, app } = await start();
    expect(await readAll(`${url}/each/${path}`)).toEqual({ status: 200, data: expected });
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.complete).toBe(1));
  });

  it('of the method see the events themselves, and not the promise of their source', async () => {
    const { url } = await start();
    await readAll(`${url}/each/slow`);
    expect(inner).toEqual(['a', 'b', 'complete']);
  });

  it('of the method may end a source: take(2) completes the session and unsubscribes', async () => {
    const { url } = await start();
    expect((await readAll(`${url}/each/taken`)).data).toEqual(['0', '1', '{"reason":"complete"}']);
    await eventually(() => expect(inner).toEqual(['unsubscribed', 'complete']));
  });

  it('of the method may answer in the place of the handler', async () => {
    const { url } = await start();
    const body = await (await fetch(`${url}/each/cached`)).text();
    expect(eventsOf(body)).toMatchObject([{ data: 'from the cache' }, { data: 'second', id: '2' }]);
    expect(runs).toBe(0);
  });

  it.each([
    ['refusing', 451],
    ['throwing', 422],
    ['status', 402],
    ['status-of-source', 410],
  ])('of the method leave an error its status (%s)', async (path, status) => {
    const { url, app } = await start([spy([])]);
    const response = await fetch(`${url}/each/${path}`);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(runs).toBe(0);
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.error).toBe(1));
  });

  it('of the method serialize class instances', async () => {
    const { url } = await start();
    const body = await (await fetch(`${url}/each/serialized`)).text();
    expect(eventsOf(body)).toMatchObject([
      { data: '{"name":"Ada","initial":"A"}' },
      { data: '{"name":"Bob","initial":"B"}', id: '1' },
      { data: 'as it is', event: 'note' },
    ]);
  });

  it('of the controller and global ones see exactly one undefined, when the stream opens', async () => {
    const seen: unknown[] = [];
    const { port } = await start([spy(seen)]);
    const client = await connect(port);
    client.request('GET', '/plain/ticks');
    await client.waitFor('tick 3');
    expect(seen).toEqual([undefined, 'complete']);
    expect(outer).toEqual([undefined, 'complete']);
    await client.fin();
    expect(seen).toHaveLength(2);
  });

  it('of the controller do not change what is sent, whatever they make of it', async () => {
    const { url } = await start([interceptor(map((data) => ({ data, at: 'once' }))), interceptor(take(1)), interceptor(delay(1))]);
    expect((await readAll(`${url}/plain/three`)).data).toEqual(['2', '4', '6']);
  });

  it('take a global ClassSerializerInterceptor', async () => {
    const { url } = await start([ClassSerializerInterceptor]);
    expect((await readAll(`${url}/plain/user`)).data).toEqual(['A']);
  });

  const timeoutAfter = (ms: number) =>
    interceptor((values) =>
      values.pipe(
        timeout(ms),
        catchError((error) => throwError(() => (error instanceof TimeoutError ? new RequestTimeoutException() : (error as Error)))),
      ),
    );

  it('with a timeout() do not end an open stream', async () => {
    const { port } = await start([timeoutAfter(150)]);
    const client = await connect(port);
    client.request('GET', '/plain/ticks');
    const openedAt = performance.now();
    await client.waitFor('tick 1\n');
    await client.waitFor(({ body }) => dataOf(body).length > 40 && performance.now() - openedAt > 400);
    expect(client.response?.complete).toBe(false);
  });

  it('with a timeout() answer 408 while the session is connecting, and end it', async () => {
    const { url, app } = await start([timeoutAfter(30)]);
    expect((await fetch(`${url}/plain/never`)).status).toBe(408);
    await eventually(() => expect(inner).toEqual(['aborted', 'REQUEST_ABANDONED', 'error']));
    expect(app.get(SessionManager).size).toBe(0);
  });
});
