import { connect as connectHttp2 } from 'node:http2';
import { type Socket, connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnSseSession } from 'nestjs-sse-session';
import { FakeClock, RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { NEVER, Subject, concat, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { h2Request } from '../support/h2-client.js';
import { LOCALHOST_TLS } from '../support/tls.js';
import { EVENT_STREAM, type Life, endless, expectEnd, startLife, turns, untilBlocked } from '../support/life.js';

/** Node's own handle of a socket. */
type FreezableSocket = Socket & { _handle: { readStop(): void } };

const RETRY = 'retry: 2000\n';
const END_EVENT = { endEvent: { type: 'end' } } as const;
const LAST_WORDS = `${RETRY}event: end\ndata: {"reason":"shutdown"}\n\n`;

const forever = () => concat(of('first'), NEVER);
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Begins to stop the application; `done` says whether it has stopped. */
function beginClose(life: Life): { done: boolean; closed: Promise<void> } {
  const state = { done: false, closed: life.close() };
  void state.closed.then(() => (state.done = true));
  return state;
}

describeEachAdapter('When the application stops', ({ startApp, adapter }) => {
  it('nothing is lost that was sent: a large rest arrives, then a retry line and the end event', async () => {
    const life = await startLife(startApp, () => undefined, { route: { ...END_EVENT, buffer: { maxBytes: 20_000_000 } } });
    const client = await life.get();
    await client.head();
    const large = 'x'.repeat(3_000_000);
    life.sessions[0]?.send(large);
    life.sessions[0]?.send('last');
    await life.close();
    const { body, complete } = await client.whole();
    expect(complete).toBe(true);
    expect(body.startsWith(`${RETRY}data: ${large}\n\n`)).toBe(true);
    expect(body.slice(RETRY.length + large.length + 8)).toBe(`data: last\n\n${LAST_WORDS}`);
    await expectEnd(life, 'shutdown');
  });

  it('many clients are sent away, spread over retryJitterMs', async () => {
    const life = await startLife(startApp, forever, {
      module: { shutdown: { retryJitterMs: 10_000 } },
      app: { overrides: (builder) => builder.overrideProvider(RANDOM).useValue(fakeRandom(0, 0.25, 0.5, 0.75)) },
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => life.get()));
    await Promise.all(clients.map((client) => client.waitFor('first')));
    await life.close();
    const retries = await Promise.all(clients.map(async (client) => Number(/retry: (\d+)\n$/.exec((await client.whole()).body)?.[1])));
    expect([...new Set(retries)].sort((a, b) => a - b)).toEqual([2_000, 4_500, 7_000, 9_500]);
    expect(life.ends.map(({ reason }) => reason)).toEqual(clients.map(() => 'shutdown'));
  });

  it('asynchronous hooks of all levels are done before app.close() resolves', async () => {
    const done: string[] = [];
    @Injectable()
    class Audit {
      @OnSseSession('completion')
      async record(): Promise<void> {
        await pause(60);
        done.push('provider');
      }
    }
    const life = await startLife(
      startApp,
      (session) => {
        session.onCompletion(async () => {
          await pause(40);
          done.push('session');
        });
        return forever();
      },
      { app: { providers: [Audit] } },
    );
    await (await life.get()).waitFor('first');
    await life.close();
    expect(done).toEqual(['session', 'provider']);
  });

  it('a client that never reads is cut at shutdown.timeoutMs', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => endless(), { clock, module: { shutdown: { timeoutMs: 3_000 } } });
    const client = await life.get();
    await client.head();
    client.pause();
    await untilBlocked(life.sessions[0]!);
    const closing = beginClose(life);
    await turns(20);
    clock.advance(2_999);
    await turns(20);
    expect(closing.done).toBe(false);
    expect(life.sessions[0]).toMatchObject({ state: 'closing' });
    clock.advance(101);
    await closing.closed;
    await expectEnd(life, 'shutdown');
  });

  it('a hook that hangs delays it to shutdown.timeoutMs, not longer, and is reported', async () => {
    const clock = new FakeClock();
    const life = await startLife(
      startApp,
      (session) => {
        session.onCompletion(() => new Promise(() => undefined));
        return forever();
      },
      { clock, module: { shutdown: { timeoutMs: 3_000 } } },
    );
    const client = await life.get();
    await client.waitFor('first');
    const closing = beginClose(life);
    await client.whole();
    await turns(20);
    clock.advance(2_999);
    await turns(20);
    expect(closing.done).toBe(false);
    clock.advance(101);
    await closing.closed;
    expect(life.logged.filter((line) => line.includes('has not settled'))).toHaveLength(1);
    await expectEnd(life, 'shutdown');
  });

  it('it takes no longer than shutdown.timeoutMs of real time with both', async () => {
    const life = await startLife(
      startApp,
      (session) => {
        session.onCompletion(() => new Promise(() => undefined));
        return endless();
      },
      { module: { shutdown: { timeoutMs: 400 } } },
    );
    const client = await life.get();
    await client.head();
    client.pause();
    await untilBlocked(life.sessions[0]!);
    const before = performance.now();
    await life.close();
    const took = performance.now() - before;
    expect(took).toBeGreaterThan(390);
    expect(took).toBeLessThan(2_000);
  });

  it('finishMs lets an answer finish: app.close() resolves as soon as it has', async () => {
    const answer = new Subject<string>();
    const life = await startLife(startApp, () => concat(of('first'), answer), {
      clock: new FakeClock(),
      route: { shutdown: { finishMs: 8_000 }, ...END_EVENT },
    });
    const client = await life.get();
    await client.waitFor('first');
    const closing = beginClose(life);
    await turns(20);
    expect(life.sessions[0]).toMatchObject({ state: 'open' });
    expect(life.sessions[0]?.signal.aborted).toBe(false);
    answer.next('the rest');
    answer.complete();
    await closing.closed;
    expect((await client.whole()).body).toBe(`${RETRY}data: first\n\ndata: the rest\n\nevent: end\ndata: {"reason":"complete"}\n\n`);
    await expectEnd(life, 'complete');
  });

  it('an answer that does not finish within finishMs is ended as shutdown', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, forever, { clock, route: { shutdown: { finishMs: 8_000 }, ...END_EVENT } });
    const client = await life.get();
    await client.waitFor('first');
    const closing = beginClose(life);
    await turns(20);
    clock.advance(7_999);
    expect(life.sessions[0]).toMatchObject({ state: 'open' });
    clock.advance(101);
    await closing.closed;
    expect((await client.whole()).body).toBe(`${RETRY}data: first\n\n${LAST_WORDS}`);
    await expectEnd(life, 'shutdown');
  });

  it('new requests are refused while others finish: 200 with a retry for an EventSource, 503 for others', async () => {
    const answer = new Subject<string>();
    const life = await startLife(startApp, () => concat(of('first'), answer), {
      clock: new FakeClock(),
      module: { shutdown: { finishMs: 8_000 } },
    });
    const client = await life.get();
    await client.waitFor('first');
    const eventSource = await life.get('/nowhere');
    const other = await life.get('/nowhere');
    await Promise.all([eventSource.whole(), other.whole()]);
    const closing = beginClose(life);
    await turns(20);
    const polite = await eventSource.request('GET', '/life', EVENT_STREAM).whole();
    expect(polite).toMatchObject({ status: 200, body: 'retry: 2000\n\n', complete: true });
    expect(polite.headers['content-type']).toMatch(/^text\/event-stream/);
    const plain = await other.request('GET', '/life', { Accept: '*/*' }).whole();
    expect(plain).toMatchObject({ status: 503, headers: { 'retry-after': '2' } });
    expect(life.manager.stats()).toMatchObject({ rejected: 2, sessions: { open: 1 } });
    answer.complete();
    await closing.closed;
    expect(life.sessions).toHaveLength(1);
  });

  it('a session that is still connecting is aborted and its request refused', async () => {
    const life = await startLife(
      startApp,
      (session) =>
        new Promise<never>((_resolve, reject) => session.signal.addEventListener('abort', () => reject(session.signal.reason as Error))),
    );
    const eventSource = await life.get('/life', EVENT_STREAM);
    const other = await life.get('/life', { Accept: 'application/json, text/*' });
    await eventually(() => life.sessions.length === 2);
    await life.close();
    expect(await eventSource.whole()).toMatchObject({ status: 200, body: 'retry: 2000\n\n' });
    expect(await other.whole()).toMatchObject({ status: 503 });
    expect(life.ends.map(({ reason, isAborted }) => `${reason} ${isAborted}`)).toEqual(['shutdown true', 'shutdown true']);
    expect(life.log.filter((line) => line.endsWith('open'))).toEqual([]);
  });

  it('a half request that waits behind a stream keeps the server no longer than the stream', async () => {
    const life = await startLife(startApp, forever, { clock: new FakeClock() });
    const client = await life.get();
    await client.waitFor('first');
    client.write('GET /next HTTP/1.1\r\nHo');
    await turns(20);
    const before = performance.now();
    await life.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    await client.closed;
    expect(client.response?.complete).toBe(true);
  });

  it('app.close() may be called twice', async () => {
    const life = await startLife(startApp, forever);
    const client = await life.get();
    await client.waitFor('first');
    const first = life.app.close();
    const second = life.app.close().catch((error: unknown) => error);
    await first;
    await second;
    await client.whole();
    await expectEnd(life, 'shutdown');
  });

  it('it ends at once without any session', async () => {
    const life = await startLife(startApp, forever, { clock: new FakeClock() });
    await life.close();
    expect(life.manager.size).toBe(0);
  });

  it('clients that left before are waited for no longer', async () => {
    const life = await startLife(startApp, forever, { clock: new FakeClock(), module: { shutdown: { finishMs: 8_000 } } });
    const client = await life.get();
    await client.waitFor('first');
    const closing = beginClose(life);
    await turns(20);
    expect(closing.done).toBe(false);
    await client.fin();
    await closing.closed;
    await expectEnd(life, 'client-disconnect');
  });

  if (adapter === 'fastify') {
    it('HTTP/2 connections are closed, although their clients would keep them', async () => {
      const life = await startLife(startApp, forever, { route: END_EVENT, app: { adapterOptions: { http2: true } as never } });
      const { session, body, whole } = h2Request(life.url, '/life');
      await eventually(() => body().includes('first'));
      const closed = new Promise<void>((resolve) => session.once('close', resolve));
      await life.close();
      expect(await whole).toBe(`${RETRY}data: first\n\n${LAST_WORDS}`);
      await closed;
      await expectEnd(life, 'shutdown');
    });

    it.each<[string, Record<string, unknown>, (port: number) => Socket]>([
      ['h2c', { http2: true }, (port) => connectTcp(port, '127.0.0.1')],
      [
        'TLS',
        { http2: true, https: LOCALHOST_TLS },
        (port) => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
      ],
    ])('HTTP/2 connections of clients that never read are cut at shutdown.timeoutMs (%s)', async (_what, options, connect) => {
      const life = await startLife(startApp, () => endless(), {
        module: { shutdown: { timeoutMs: 300 } },
        app: { adapterOptions: options as never },
      });
      const socket = connect(life.port) as FreezableSocket;
      const session = connectHttp2('https://localhost', { createConnection: () => socket });
      session.on('error', () => undefined);
      h2Request('', '/life', session).stream.pause();
      await eventually(() => life.sessions.length === 1);
      await untilBlocked(life.sessions[0]!);
      // not even its connection is read any more: it hears of nothing
      socket._handle.readStop();
      const before = performance.now();
      await life.close();
      expect(performance.now() - before).toBeLessThan(2_000);
      await expectEnd(life, 'shutdown');
      session.destroy();
    });

    it.each<[string, string, number]>([
      ['a request that is refused', 'text/event-stream', 200],
      ['a request that is not acceptable', 'application/json', 406],
    ])('HTTP/2 connections are closed that have only had %s, although their clients would keep them', async (_what, accept, status) => {
      const life = await startLife(startApp, forever, {
        module: { limits: { maxConnections: 1 }, shutdown: { timeoutMs: 2_000 } },
        app: { adapterOptions: { http2: true } as never },
      });
      const { body } = h2Request(life.url, '/life');
      await eventually(() => body().includes('first'));
      const refused = h2Request(life.url, '/life', undefined, accept);
      expect(await refused.status).toBe(status);
      await refused.whole;
      const closed = new Promise<void>((resolve) => refused.session.once('close', resolve));
      await life.close();
      await closed;
    });

    it('HTTP/2 connections are closed that come while the application stops', async () => {
      const answer = new Subject<string>();
      const life = await startLife(startApp, () => concat(of('first'), answer), {
        module: { shutdown: { timeoutMs: 2_000, finishMs: 1_500 } },
        app: { adapterOptions: { http2: true } as never },
      });
      const { body } = h2Request(life.url, '/life');
      await eventually(() => body().includes('first'));
      const closing = life.close();
      await turns(20);
      const late = h2Request(life.url, '/life');
      expect(await late.whole).toMatch(/^retry: \d+\n\n$/);
      answer.complete();
      await closing;
    });

    it('HTTP/2 connections are closed whose streams have ended long ago', async () => {
      const life = await startLife(startApp, () => of('a'), { app: { adapterOptions: { http2: true } as never } });
      const { session, whole } = h2Request(life.url, '/life');
      await whole;
      const closed = new Promise<void>((resolve) => session.once('close', resolve));
      await life.close();
      await closed;
    });
  }
});
