import type { Socket } from 'node:net';
import { expect, it } from '@jest/globals';
import { type CallHandler, type ExecutionContext, HttpException } from '@nestjs/common';
import type { SseSession } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, Subject, concat, of, timeout } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM, type LifeHandler, type LifeOptions, startLife, turns } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

const header = (name: string) => (context: ExecutionContext) =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers[name];
const ANN = { ...EVENT_STREAM, 'x-user': 'ann', 'x-key': 'answer' };
const dataIn = (client: RawClient) => eventsOf(client.body).map(({ data, event }) => (event ? `${event} ${data}` : data));
const lastId = (client: RawClient) => eventsOf(client.body).at(-1)?.id as string;

async function leave(client: RawClient, session: SseSession): Promise<void> {
  const { connections } = session;
  client.socket.destroy();
  await eventually(() => session.connections < connections);
}

describeEachAdapter('Coming back, at the edges', ({ startApp }) => {
  const start = (handler: LifeHandler, { route, ...rest }: LifeOptions = {}) =>
    startLife(startApp, handler, {
      ...rest,
      route: { resume: {}, heartbeat: false, principal: header('x-user'), key: header('x-key'), ...route },
    });

  it.each(['handler', 'first-event'] as const)(
    'before the first token keeps the status of what fails then (openOn: %s)',
    async (openOn) => {
      let fail: ((error: Error) => void) | undefined;
      const life = await start(() => new Promise<never>((_resolve, reject) => (fail = reject)), { route: { openOn } });
      const first = await life.get('/life', ANN);
      await eventually(() => life.sessions.length === 1);
      await leave(first, life.sessions[0]!);
      expect(life.sessions[0]).toMatchObject({ state: 'detached', connections: 0 });
      const [again, another] = [await life.get('/life', ANN), await life.get('/life', ANN)];
      await eventually(() => life.sessions[0]!.state === 'connecting');
      await turns();
      fail?.(new HttpException('Too many', 429));
      expect(await again.whole()).toMatchObject({ status: 429 });
      expect(await another.whole()).toMatchObject({ status: 429 });
      expect(life.sessions).toHaveLength(1);
      expect(life.ends).toMatchObject([{ reason: 'error' }]);
    },
  );

  it('runs one handler for all who waited when the first has gone for good', async () => {
    const life = await start(() => new Promise<never>(() => undefined), { route: { resume: { onDisconnect: 'cancel' } } });
    const first = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    const waiting = await Promise.all([life.get('/life', ANN), life.get('/life', ANN), life.get('/life', ANN)]);
    await turns(20);
    first.socket.destroy();
    await eventually(() => life.ends.length === 1);
    await eventually(() => life.sessions.length === 2);
    await turns(20);
    expect(life.sessions).toHaveLength(2);
    expect(waiting.map(({ response }) => response)).toEqual([undefined, undefined, undefined]);
  });

  it('starts anew for who waited when the first one has gone, though its session is to stop its clients', async () => {
    const life = await start(
      (session) => {
        session.send(`of session ${life.sessions.length}`);
        return life.sessions.length === 1 ? new Promise<never>(() => undefined) : NEVER;
      },
      { route: { resume: { onDisconnect: 'cancel' }, afterEnd: { 'client-disconnect': 'stop' } } },
    );
    const first = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    const waiting = await life.get('/life', ANN);
    await turns(20);
    first.socket.destroy();
    await waiting.waitFor('data: ');
    expect(dataIn(waiting)).toEqual(['of session 2']);
    expect(life.sessions[1]).toMatchObject({ state: 'open', connections: 1 });
  });

  it('with an id that nobody knows is told so, though the session for which it waited is over as it opens', async () => {
    let go: (() => void) | undefined;
    const life = await start(
      (session) =>
        new Promise((resolve) => {
          go = () => {
            session.send('a');
            resolve(NEVER);
          };
        }),
    );
    life.manager.events$.subscribe(({ type }) => type === 'open' && life.sessions[0]!.close());
    const first = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    const other = await life.get('/life', { ...ANN, 'Last-Event-ID': `${'A'.repeat(22)}:5` });
    await turns(30);
    go?.();
    await other.whole();
    expect(dataIn(first)).toEqual(['a']);
    expect(dataIn(other)).toEqual(['reset {"reason":"unknown"}', 'a']);
    expect(life.sessions).toHaveLength(1);
  });

  it('lets a handler that sends at the pace of its client wait while there is none', async () => {
    let sent = 0;
    const clock = new FakeClock();
    const life = await start(
      (session) => {
        void (async () => {
          for (; !session.signal.aborted; sent++) {
            session.send(`event ${sent}`);
            await session.flushed().catch(() => undefined);
          }
        })();
      },
      { clock, route: { resume: { maxEvents: 1_000, graceMs: 5_000 } } },
    );
    const client = await life.get('/life', ANN);
    await client.waitFor('data: event 3\n');
    await leave(client, life.sessions[0]!);
    let before = -1;
    await eventually(async () => {
      const isStill = before === sent;
      before = sent;
      await turns(50);
      return isStill;
    });
    expect(life.sessions[0]!.state).toBe('detached');
    const again = await life.get('/life', { ...ANN, 'Last-Event-ID': lastId(client) });
    await again.waitFor(`data: event ${before}\n`);
    expect(dataIn(again).filter((data) => data.startsWith('reset'))).toEqual([]);
    again.socket.destroy();
    await eventually(() => life.sessions[0]!.state === 'detached');
    clock.advance(6_000);
    await eventually(() => life.ends.length === 1);
  });

  it('of a session whose handler returns a channel is what it is without resume: its end, its drops', async () => {
    const life = await start(
      async (session) => {
        session.onCompletion(() => undefined);
        await turns(1);
        return life.manager.channel('news').stream();
      },
      { route: { endEvent: { type: 'end' }, errorEvent: () => ({ type: 'error', data: 'x', id: 'own' }) } },
    );
    const client = await life.get('/life', ANN);
    await eventually(() => life.manager.channel('news').size === 1);
    await life.manager.channel('news').publish('a');
    await client.waitFor('data: a');
    life.sessions[0]!.complete();
    await client.whole();
    expect(client.body).toMatch(/event: end\ndata: {"reason":"complete"}\n\n$/);
    expect(life.manager.stats().resume).toMatchObject({ ended: 0 });
  });

  it('is refused to more tabs than the limits allow, but not to the one that was cut', async () => {
    const life = await start(() => concat(of('a'), NEVER), { route: { limits: { maxConnections: 2 } } });
    const tabs = [await life.get('/life', ANN), await life.get('/life', ANN)];
    await Promise.all(tabs.map((tab) => tab.waitFor('data: a')));
    const third = await life.get('/life', ANN);
    expect((await third.whole()).body).toMatch(/^retry: \d+\n\n$/);
    for (const tab of tabs) await leave(tab, life.sessions[0]!);
    const back = await life.get('/life', { ...ANN, 'Last-Event-ID': lastId(tabs[0]!) });
    await back.waitFor('retry: 2000');
    expect(life.sessions).toHaveLength(1);
  });

  it('to the rest of a session is let finish by a shutdown', async () => {
    const source = new Subject<unknown>();
    const life = await start(() => source);
    const client = await life.get('/life', ANN);
    await eventually(() => life.sessions[0]?.state === 'open');
    source.next('a');
    await client.waitFor('data: a');
    await leave(client, life.sessions[0]!);
    for (let n = 0; n < 100; n++) source.next('x'.repeat(50_000));
    source.next('last');
    source.complete();
    await eventually(() => life.ends.length === 1);
    const rest = await life.get('/life', { ...ANN, 'Last-Event-ID': lastId(client) });
    rest.socket.pause();
    await eventually(() => rest.bytesReceived > 0 || life.manager.stats().connections === 0);
    await turns(5);
    const closed = life.close();
    await turns(20);
    rest.socket.resume();
    await closed;
    await rest.waitFor(({ response }) => response?.complete === true);
    expect(dataIn(rest).at(-1)).toBe('last');
  });

  it('is no way to keep memory: who waits for a session and leaves is not held, however many there are', async () => {
    const life = await start(() => new Promise<never>(() => undefined));
    const first = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    for (let n = 0; n < 50; n++) {
      const waiting = await Promise.all(Array.from({ length: 20 }, () => life.get('/life', ANN)));
      await turns(10);
      for (const client of waiting) client.socket.destroy();
    }
    const [session] = life.sessions as unknown as [SseSession & { waiting: number }];
    await eventually(() => session.waiting === 0);
    expect(session).toMatchObject({ state: 'connecting', connections: 1 });
    first.socket.destroy();
    await eventually(() => life.sessions[0]!.state === 'detached');
  });

  it.each(['detach', 'open'] as const)('is told to stop when the session is cancelled as it comes (%s)', async (type) => {
    let resolve: ((source: Subject<unknown>) => void) | undefined;
    const life = await start(() => new Promise<Subject<unknown>>((done) => (resolve = done)));
    life.manager.events$.subscribe((event) => {
      if (event.type === type) event.session?.close();
    });
    const first = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    const waiting = await life.get('/life', ANN);
    await turns(20);
    if (type === 'detach') first.socket.destroy();
    else resolve?.(new Subject());
    const { status, complete } = await waiting.whole();
    expect([status, complete]).toEqual([204, true]);
    expect(life.sessions).toHaveLength(1);
    await life.close();
  });

  it('of another tab is not ended by the first one, on which an outer interceptor gives up', async () => {
    const source = new Subject<unknown>();
    let resolve: ((source: Subject<unknown>) => void) | undefined;
    const life = await start(() => new Promise<Subject<unknown>>((done) => (resolve = done)), {
      app: {
        configure: (app) =>
          void app.useGlobalInterceptors({
            intercept: (context: ExecutionContext, next: CallHandler) =>
              header('x-patience')(context) ? next.handle().pipe(timeout(100)) : next.handle(),
          }),
      },
    });
    const impatient = await life.get('/life', { ...ANN, 'x-patience': 'little' });
    await eventually(() => life.sessions.length === 1);
    const patient = await life.get('/life', ANN);
    expect((await impatient.whole()).status).toBe(500);
    await eventually(() => life.sessions[0]!.state === 'connecting');
    resolve?.(source);
    await eventually(() => life.sessions[0]!.state === 'open');
    source.next('a');
    await patient.waitFor('data: a');
    expect(life.sessions).toHaveLength(1);
  });

  it('with a token that ends sooner does not end it for another tab', async () => {
    const clock = new FakeClock();
    const life = await start(() => concat(of('a'), NEVER), {
      clock,
      route: { authorization: { expiresAt: (context) => Date.now() + Number(header('x-lives')(context)) } },
    });
    const long = await life.get('/life', { ...ANN, 'x-lives': '60000' });
    await long.waitFor('data: a');
    const short = await life.get('/life', { ...ANN, 'x-lives': '5000' });
    await short.waitFor('data: a');
    clock.advance(10_000);
    await turns();
    expect(life.sessions[0]!.state).toBe('open');
    // alone, its own counts
    await leave(long, life.sessions[0]!);
    await leave(short, life.sessions[0]!);
    const alone = await life.get('/life', { ...ANN, 'x-lives': '5000' });
    await alone.waitFor('data: a');
    clock.advance(6_000);
    await eventually(() => life.ends.length === 1);
    expect(life.ends[0]).toMatchObject({ reason: 'unauthorized' });
  });

  it('is detached, and not ended, when its client resets as the handler resolves', async () => {
    const source = new Subject<unknown>();
    let resolve: ((source: Subject<unknown>) => void) | undefined;
    const life = await start((_session, request) => {
      const { socket } = request as unknown as { raw?: { socket: Socket }; socket: Socket };
      ((request as unknown as { raw?: { socket: Socket } }).raw?.socket ?? socket).once('error', () => resolve?.(source));
      return new Promise<Subject<unknown>>((done) => (resolve = done));
    });
    const client = await life.get('/life', ANN);
    await eventually(() => life.sessions.length === 1);
    client.socket.resetAndDestroy();
    await eventually(() => life.sessions[0]!.state === 'detached');
    await turns(20);
    expect(life.ends).toEqual([]);
    source.next('a');
    const back = await life.get('/life', ANN);
    await back.waitFor('data: a');
  });

  it('to a rest larger than what stallTimeoutMs could carry gets it whole, as long as it reads', async () => {
    const clock = new FakeClock();
    const source = new Subject<unknown>();
    const life = await start(() => source, { clock, route: { buffer: { stallTimeoutMs: 1_000 } } });
    const client = await life.get('/life', ANN);
    await eventually(() => life.sessions[0]?.state === 'open');
    source.next('a');
    await client.waitFor('data: a');
    await leave(client, life.sessions[0]!);
    source.next('x'.repeat(20_000_000));
    source.complete();
    const rest = await life.get('/life', { ...ANN, 'Last-Event-ID': lastId(client) });
    for (let read = 0; read < 20_000_000 && !rest.response?.complete;) {
      rest.socket.pause();
      clock.advance(900);
      rest.socket.resume();
      await eventually(() => rest.bytesReceived > read || rest.response?.complete === true);
      read = rest.bytesReceived;
    }
    await rest.waitFor(({ response }) => response?.complete === true);
    expect(dataIn(rest)[0]).toHaveLength(20_000_000);
  });
});
