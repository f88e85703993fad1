import { constants } from 'node:http2';
import { expect, it } from '@jest/globals';
import { BadRequestException, HttpException, RequestMethod } from '@nestjs/common';
import { SessionManager, type SessionEvent } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, Subject, concat, of, throwError } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { h2Request } from '../support/h2-client.js';
import { endless, expectEnd, startLife, turns, untilBlocked } from '../support/life.js';
import { type RawResponse, connect } from '../support/raw-client.js';

const RETRY = 'retry: 2000\n';
const END_EVENT = { endEvent: { type: 'end' } } as const;

function endEvent(reason: string): string {
  return `event: end\ndata: {"reason":"${reason}"}\n\n`;
}

function statusIn({ body }: RawResponse): unknown {
  return (JSON.parse(body) as { statusCode: unknown }).statusCode;
}

const forever = () => concat(of('first'), NEVER);
const never = () => new Promise<never>(() => undefined);

describeEachAdapter('A session ends as complete', ({ startApp }) => {
  it('when its source completes', async () => {
    const life = await startLife(startApp, () => of('a', 'b'), { route: END_EVENT });
    const client = await life.get();
    const { body, complete } = await client.whole();
    expect({ body, complete }).toEqual({ body: `${RETRY}data: a\n\ndata: b\n\n${endEvent('complete')}`, complete: true });
    const { error } = await expectEnd(life, 'complete');
    expect(error).toBeUndefined();
  });

  it('when its source completes without any event', async () => {
    const life = await startLife(startApp, () => of());
    const { body, complete } = await (await life.get()).whole();
    expect({ body, complete }).toEqual({ body: `${RETRY}\n`, complete: true });
    await expectEnd(life, 'complete');
  });

  it('by session.complete(), with all that was sent before', async () => {
    const life = await startLife(startApp, () => undefined);
    const client = await life.get();
    await client.head();
    const [session] = life.sessions;
    session?.send('last');
    session?.complete();
    expect(session?.send('late')).toBe('closed');
    expect((await client.whole()).body).toBe(`${RETRY}data: last\n\n`);
    await expectEnd(life, 'complete');
  });

  it('by session.complete() in a handler that has not returned yet, which opens the stream first', async () => {
    let late: { returned: boolean } | undefined;
    const life = await startLife(startApp, async function* (session) {
      session.send('only');
      session.complete();
      late = { returned: true };
      yield 'never read';
    });
    const { body, status } = await (await life.get()).whole();
    expect({ body, status }).toEqual({ body: `${RETRY}data: only\n\n`, status: 200 });
    await expectEnd(life, 'complete');
    expect(late).toEqual({ returned: true });
  });
});

describeEachAdapter('A session ends as client-disconnect', ({ startApp, adapter }) => {
  it('when its client closes the connection (FIN)', async () => {
    const life = await startLife(startApp, forever);
    const client = await life.get();
    await client.waitFor('first');
    await client.fin();
    const { error } = await expectEnd(life, 'client-disconnect');
    expect(error).toBeUndefined();
  });

  it('when its client closes its half of the connection', async () => {
    const life = await startLife(startApp, forever);
    const client = await life.get();
    await client.waitFor('first');
    client.halfClose();
    await client.closed;
    expect(client.response?.complete).toBe(false);
    await expectEnd(life, 'client-disconnect');
  });

  it('when its client resets the connection (RST), with the error of the socket', async () => {
    const life = await startLife(startApp, forever);
    const client = await life.get();
    await client.waitFor('first');
    await client.reset();
    const { session } = await expectEnd(life, 'client-disconnect');
    expect(session.error).toMatchObject({ code: 'ECONNRESET' });
  });

  it('when its client leaves while the handler is still at work, without ever having been open', async () => {
    const life = await startLife(startApp, never);
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    await client.fin();
    await expectEnd(life, 'client-disconnect', { opened: false });
  });

  if (adapter === 'fastify') {
    const app = { adapterOptions: { http2: true } as never };

    it('when an HTTP/2 client resets the stream, and the connection serves the next one', async () => {
      const life = await startLife(startApp, forever, { app });
      const { stream, session, body } = h2Request(life.url, '/life');
      await eventually(() => body().includes('first'));
      stream.close(constants.NGHTTP2_CANCEL);
      await expectEnd(life, 'client-disconnect');
      const next = h2Request(life.url, '/life', session);
      await eventually(() => next.body().includes('first'));
      session.destroy();
    });

    it('when an HTTP/2 client destroys the connection', async () => {
      const life = await startLife(startApp, forever, { app });
      const { session, body } = h2Request(life.url, '/life');
      await eventually(() => body().includes('first'));
      session.destroy();
      await expectEnd(life, 'client-disconnect');
    });

    it('when an HTTP/2 client resets the stream before it opened', async () => {
      const life = await startLife(startApp, never, { app });
      const { stream, session } = h2Request(life.url, '/life');
      await eventually(() => life.sessions.length === 1);
      stream.close(constants.NGHTTP2_CANCEL);
      await expectEnd(life, 'client-disconnect', { opened: false });
      session.destroy();
    });

    it('never, when an HTTP/2 stream ends well', async () => {
      const life = await startLife(startApp, () => of('a'), { app });
      const { session, whole } = h2Request(life.url, '/life');
      expect(await whole).toBe(`${RETRY}data: a\n\n`);
      await expectEnd(life, 'complete');
      session.destroy();
    });
  }
});

describeEachAdapter('A session ends as timeout', ({ startApp }) => {
  it('when timeoutMs has passed since its creation, whatever was sent', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, forever, { clock, route: { timeoutMs: 60_000, ...END_EVENT } });
    const client = await life.get();
    await client.waitFor('first');
    clock.advance(59_000);
    life.sessions[0]?.send('second');
    clock.advance(999);
    expect(life.sessions[0]?.state).toBe('open');
    clock.advance(101);
    const { body, complete } = await client.whole();
    expect(body.endsWith(`data: second\n\n${endEvent('timeout')}`)).toBe(true);
    expect(complete).toBe(true);
    await expectEnd(life, 'timeout');
  });

  it('and answers 504 when it has not opened by then', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, never, { clock, route: { timeoutMs: 60_000 } });
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    clock.advance(60_100);
    const response = await client.whole();
    expect({ status: response.status, inBody: statusIn(response) }).toEqual({ status: 504, inBody: 504 });
    await expectEnd(life, 'timeout', { opened: false });
  });

  it('and never with timeoutMs false', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, forever, { clock, route: { timeoutMs: false, heartbeat: false } });
    const client = await life.get();
    await client.waitFor('first');
    clock.advance(48 * 3_600_000);
    expect(life.sessions[0]).toMatchObject({ state: 'open', expiresAt: undefined });
  });
});

describeEachAdapter('A session ends as idle-timeout', ({ startApp }) => {
  it('when it had no event for idleTimeoutMs, although heartbeats were written', async () => {
    const clock = new FakeClock();
    const route = { idleTimeoutMs: 10_000, heartbeat: { intervalMs: 3_000 }, ...END_EVENT };
    const life = await startLife(startApp, forever, { clock, route });
    const client = await life.get();
    await client.waitFor('first');
    clock.advance(9_000);
    expect(life.sessions[0]?.send('again')).toBe('accepted');
    clock.advance(9_999);
    expect(life.sessions[0]?.state).toBe('open');
    clock.advance(101);
    const { body } = await client.whole();
    expect(body).toContain(': heartbeat\n');
    expect(body.endsWith(endEvent('idle-timeout'))).toBe(true);
    await expectEnd(life, 'idle-timeout');
  });
});

describeEachAdapter('A session ends as error', ({ startApp }) => {
  const failures: [string, number, () => never | Promise<never> | ReturnType<typeof throwError> | AsyncGenerator<string>][] = [
    ['a handler that throws an HttpException', 429, () => fail(new HttpException('quota', 429))],
    ['a handler that rejects with an HttpException', 404, async () => fail(new HttpException('gone', 404))],
    ['a handler that throws anything else', 500, () => fail(new Error('secret'))],
    ['an Observable that fails at once', 418, () => throwError(() => new HttpException('teapot', 418))],
    [
      'a generator that throws before its first value',
      400,
      async function* () {
        if (failures.length > 0) throw new BadRequestException('no');
        yield 'never';
      },
    ],
    ['a handler that returns something else', 500, () => 42 as never],
  ];

  it.each(failures)('before its headers by %s, which is HTTP %i', async (_what, status, handler) => {
    const life = await startLife(startApp, handler);
    const response = await (await life.get()).whole();
    expect({ status: response.status, inBody: statusIn(response) }).toEqual({ status, inBody: status });
    expect(response.body).not.toContain('secret');
    const error = expectedName(status, handler);
    await expectEnd(life, 'error', { opened: false, error });
  });

  it('before its headers by a pipe, without any callback of its own as the handler never ran', async () => {
    const life = await startLife(startApp, forever, {
      app: {
        configure: (app) =>
          void app.useGlobalPipes({
            transform: () => {
              throw new BadRequestException('refused by a pipe');
            },
          }),
      },
    });
    const response = await (await life.get()).whole();
    expect({ status: response.status, inBody: statusIn(response) }).toEqual({ status: 400, inBody: 400 });
    await expectEnd(life, 'error', { opened: false, error: 'BadRequestException', levels: ['route', 'provider'] });
  });

  it('after its headers by its source: the client is told the message of an HttpException', async () => {
    const { life, body } = await failLate(new HttpException('quota used up', 429), END_EVENT);
    expect(body).toBe(`${RETRY}data: first\n\nevent: error\ndata: quota used up\n\n${endEvent('error')}`);
    const { error } = await expectEnd(life, 'error', { error: 'HttpException' });
    expect(error).toBeInstanceOf(HttpException);
  });

  it('after its headers by its source: of any other error the client is told nothing', async () => {
    const { life, body } = await failLate(new TypeError('password is hunter2'));
    expect(body).toBe(`${RETRY}data: first\n\nevent: error\ndata: Internal server error\n\n`);
    await expectEnd(life, 'error', { error: 'TypeError' });
    expect(life.logged.join()).toContain('password is hunter2');
  });

  it('after its headers, with an errorEvent of the application', async () => {
    const { life, body } = await failLate(new TypeError('x'), {
      errorEvent: (error, session) => ({ type: 'oops', data: { name: (error as Error).name, state: session.closeReason }, id: 'e1' }),
    });
    expect(body).toBe(`${RETRY}data: first\n\nevent: oops\ndata: {"name":"TypeError","state":"error"}\nid: e1\n\n`);
    await expectEnd(life, 'error', { error: 'TypeError' });
  });

  it('after its headers, with an errorEvent that says nothing', async () => {
    const { life, body } = await failLate(new TypeError('x'), { errorEvent: () => null });
    expect(body).toBe(`${RETRY}data: first\n\n`);
    await expectEnd(life, 'error', { error: 'TypeError' });
  });

  it('after its headers, with an errorEvent that throws itself', async () => {
    const { life, body } = await failLate(new TypeError('x'), {
      errorEvent: () => fail(new Error('in errorEvent')),
    });
    expect(body).toBe(`${RETRY}data: first\n\nevent: error\ndata: Internal server error\n\n`);
    await expectEnd(life, 'error', { error: 'TypeError' });
    expect(life.logged.join()).toContain('in errorEvent');
  });

  it('when its source emits what cannot be serialized', async () => {
    const values = new Subject<unknown>();
    const life = await startLife(startApp, () => values);
    const client = await life.get();
    await client.head();
    values.next({ amount: 1n });
    expect((await client.whole()).body).toBe(`${RETRY}event: error\ndata: Internal server error\n\n`);
    await expectEnd(life, 'error', { error: 'SERIALIZATION_FAILED' });
    expect(values.observed).toBe(false);
  });

  it('when its source emits an event that is none', async () => {
    const values = new Subject<unknown>();
    const life = await startLife(startApp, () => values);
    const client = await life.get();
    await client.head();
    values.next({ data: 'x', id: 'a\nb' });
    await client.whole();
    await expectEnd(life, 'error', { error: 'INVALID_EVENT' });
  });

  async function failLate(error: Error, route: NonNullable<Parameters<typeof startLife>[2]>['route'] = {}) {
    const values = new Subject<string>();
    const life = await startLife(startApp, () => concat(of('first'), values), { route });
    const client = await life.get();
    await client.waitFor('first');
    values.error(error);
    const { body, complete } = await client.whole();
    expect(complete).toBe(true);
    return { life, body };
  }

  function expectedName(status: number, handler: () => unknown): string {
    if (status === 400) return 'BadRequestException';
    if (status !== 500) return 'HttpException';
    return handler === failures[5]?.[2] ? 'INVALID_SOURCE' : 'Error';
  }
});

function fail(error: Error): never {
  throw error;
}

describeEachAdapter('A session ends as slow-client', ({ startApp }) => {
  it('when more than buffer.maxBytes wait for it, with overflow close: the connection is destroyed at once', async () => {
    const life = await startLife(startApp, () => undefined, { route: { buffer: { maxBytes: 100_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    const [session] = life.sessions;
    let result: string | undefined = 'accepted';
    for (let sent = 0; result === 'accepted' && sent < 100; sent++) result = session?.send('x'.repeat(20_000));
    expect(result).toBe('closed');
    await expectEnd(life, 'slow-client', { error: 'SLOW_CLIENT' });
    client.resume();
    await client.closed;
    expect(client.response?.complete).toBe(false);
  });

  it('when nothing moved for stallTimeoutMs while something waits', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => endless(), { clock, route: { buffer: { stallTimeoutMs: 20_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    await untilBlocked(life.sessions[0]!);
    // at half of the time the kernel is asked, whose answer takes some turns; it may still have taken a little itself
    const before = clock.now();
    while (life.ends.length === 0 && clock.now() < 200_000) {
      clock.advance(10_000);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    expect(clock.now() - before).toBeGreaterThanOrEqual(20_000);
    const { error } = await expectEnd(life, 'slow-client', { error: 'SLOW_CLIENT' });
    expect(error).toBe(life.sessions[0]?.error);
    client.resume();
    await client.closed;
  });

  it('never, as long as something moves: a reader that is merely slow', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => endless(), { clock, route: { buffer: { stallTimeoutMs: 20_000 }, heartbeat: false } });
    const client = await life.get();
    await client.head();
    client.pause();
    for (let round = 0; round < 4; round++) {
      await untilBlocked(life.sessions[0]!);
      clock.advance(15_000);
      const before = life.sessions[0]!.bytesSent;
      client.resume();
      await eventually(() => life.sessions[0]!.bytesSent > before + 1_000_000);
      client.pause();
    }
    expect(life.sessions[0]?.state).toBe('open');
    await client.fin();
    await expectEnd(life, 'client-disconnect');
  });
});

describeEachAdapter('A session ends as cancelled', ({ startApp }) => {
  it('by SessionManager.cancel, which is true the first time only', async () => {
    const life = await startLife(startApp, forever, { route: END_EVENT });
    const client = await life.get();
    await client.waitFor('first');
    const id = life.sessions[0]!.id;
    expect(await Promise.all([life.manager.cancel(id), life.manager.cancel(id)])).toEqual([true, false]);
    expect((await client.whole()).body).toBe(`${RETRY}data: first\n\n${endEvent('cancelled')}`);
    await expectEnd(life, 'cancelled');
    expect(await life.manager.cancel(id)).toBe(false);
    expect(await life.manager.cancel('nobody')).toBe(false);
  });

  it('by session.close()', async () => {
    const life = await startLife(startApp, forever);
    const client = await life.get();
    await client.waitFor('first');
    life.sessions[0]?.close();
    life.sessions[0]?.close();
    await client.whole();
    await expectEnd(life, 'cancelled');
  });

  it('by SessionManager.cancelAll, which counts those that match and leaves the others alone', async () => {
    const route = { principal: (context: { switchToHttp(): { getRequest(): unknown } }) => userOf(context) };
    const life = await startLife(startApp, forever, { route });
    for (const user of ['ann', 'ann', 'bob']) await (await life.get(`/life?user=${user}`)).waitFor('first');
    expect(await life.manager.cancelAll({ principal: 'ann' })).toBe(2);
    await eventually(() => expect(life.ends.map(({ reason, session }) => [reason, session.principal])).toHaveLength(2));
    expect(life.ends.map(({ reason, session }) => `${session.principal} ${reason}`)).toEqual(['ann cancelled', 'ann cancelled']);
    expect(life.manager.find({ state: 'open' }).map(({ principal }) => principal)).toEqual(['bob']);
    await expect(life.manager.cancelAll({ principal: undefined } as never)).rejects.toMatchObject({ code: 'INVALID_FILTER' });
    await expect(life.manager.cancelAll({})).rejects.toMatchObject({ code: 'INVALID_FILTER' });
    expect(life.manager.size).toBe(1);
  });

  it('before it opened: the stream is opened and ended, and a source that comes late is not read', async () => {
    let release: (value: AsyncGenerator<string>) => void = () => undefined;
    const life = await startLife(startApp, () => new Promise<AsyncGenerator<string>>((resolve) => (release = resolve)), {
      route: END_EVENT,
    });
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    expect(await life.manager.cancel(life.sessions[0]!.id)).toBe(true);
    const { status, body, complete } = await client.whole();
    expect({ status, body, complete }).toEqual({ status: 200, body: `${RETRY}${endEvent('cancelled')}`, complete: true });
    await expectEnd(life, 'cancelled');
    const late = endless();
    release(late);
    await turns();
    expect(await late.next()).toEqual({ done: true, value: undefined });
  });

  it('over POST too, whose body has been consumed', async () => {
    const life = await startLife(startApp, forever, { route: { method: RequestMethod.POST } });
    const client = await connect(life.port);
    client.request('POST', '/life', { 'Content-Type': 'application/json' }, '{"prompt":"hello"}');
    const { status } = await client.waitFor('first');
    expect(status).toBe(200);
    await turns(20);
    expect(life.manager.size).toBe(1);
    await life.manager.cancelAll({ route: 'POST /life' });
    await expectEnd(life, 'cancelled');
  });
});

describeEachAdapter('A session ends as shutdown', ({ startApp }) => {
  it('when the application stops, with a retry of its own and the end event', async () => {
    const life = await startLife(startApp, forever, { route: END_EVENT });
    const client = await life.get();
    await client.waitFor('first');
    await life.close();
    const { body, complete } = await client.whole();
    expect({ body, complete }).toEqual({ body: `${RETRY}data: first\n\nretry: 2000\n${endEvent('shutdown')}`, complete: true });
    await expectEnd(life, 'shutdown');
  });

  it('and events$ completes once everything has ended', async () => {
    const life = await startLife(startApp, forever);
    const seen: (SessionEvent['type'] | 'done')[] = [];
    life.app.get(SessionManager).events$.subscribe({ next: ({ type }) => seen.push(type), complete: () => seen.push('done') });
    await (await life.get()).waitFor('first');
    await life.close();
    expect(seen).toEqual(['open', 'completion', 'done']);
  });
});

function userOf(context: { switchToHttp(): { getRequest(): unknown } }): string | undefined {
  return (context.switchToHttp().getRequest() as { query: { user?: string } }).query.user;
}
