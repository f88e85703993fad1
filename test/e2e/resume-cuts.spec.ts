import { expect, it, jest } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Param,
  RequestMethod,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import { CurrentSession, ManagedSse, type ManagedSseOptions, SessionManager, SseSession, SseSessionModule } from 'nestjs-sse-session';
import { Observable, Subject } from 'rxjs';
import { type AppDescription, describeEachAdapter } from '../support/apps.js';
import { blocksOf, committedIdOf } from '../support/blocks.js';
import { eventually } from '../support/eventually.js';
import { connectH2, h2Request } from '../support/h2-client.js';
import { EVENT_STREAM } from '../support/life.js';
import { type RawClient, connect } from '../support/raw-client.js';
import { follow, seeded } from '../support/returning-client.js';

jest.setTimeout(60_000);

const EVENTS = 250;
const STREAMS = 20;
const CUTS = 5;
/** Some 450 bytes an event and some 120 KB a stream: the cuts fall anywhere. */
const CUT_WITHIN = 20_000;
/** At another place every time; whoever looks for a failure puts the one in that it names. */
const SEED = Math.floor(Math.random() * 2 ** 31);

const header = (name: string) => (context: ExecutionContext) =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers[name];

const ROUTE: ManagedSseOptions = {
  resume: { graceMs: 20_000 },
  retryMs: 100,
  heartbeat: { intervalMs: 50 },
  principal: header('x-user'),
  key: header('x-key'),
};

let handlerCalls = 0;
let sessions: SseSession[] = [];
let sources = new Map<string, Subject<unknown>>();

/** Goes on whether somebody is there or not; one event in fifty is large. */
function numbered(tag: string): Observable<unknown> {
  return new Observable((subscriber) => {
    let n = 0;
    const timer = setInterval(() => {
      for (let burst = 0; burst < 1 + (n % 3) && n < EVENTS; burst++, n++) {
        subscriber.next({ n, tag, filler: 'x'.repeat(n % 50 === 49 ? 100_000 : (n * 37) % 700) });
      }
      if (n >= EVENTS) subscriber.complete();
    }, 3);
    return () => clearInterval(timer);
  });
}

class TokenGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (header('x-token')(context) === 'revoked') throw new UnauthorizedException();
    return true;
  }
}

@Controller()
class CutController {
  @ManagedSse('numbered/:tag', ROUTE)
  numbered(@Param('tag') tag: string): Observable<unknown> {
    handlerCalls++;
    return numbered(tag);
  }

  @ManagedSse('numbered/:tag', { ...ROUTE, method: RequestMethod.POST })
  ask(@Param('tag') tag: string): Observable<unknown> {
    handlerCalls++;
    return numbered(tag);
  }

  @UseGuards(TokenGuard)
  @ManagedSse('rooms/:id', ROUTE)
  room(@Param('id') id: string, @CurrentSession() session: SseSession): Observable<unknown> {
    handlerCalls++;
    sessions.push(session);
    const source = new Subject<unknown>();
    sources.set(id, source);
    return source;
  }
}

function dataIn(client: RawClient): string[] {
  return blocksOf(client.body).flatMap(({ type, data }) => (data === undefined ? [] : [type ? `${type} ${data}` : data]));
}

describeEachAdapter('A resumable stream that is cut', ({ startApp, adapter }) => {
  const start = async (more: Partial<AppDescription> = {}) => {
    handlerCalls = 0;
    sessions = [];
    sources = new Map();
    const running = await startApp({ imports: [SseSessionModule.forRoot({})], controllers: [CutController], ...more });
    const manager = running.app.get(SessionManager);
    const get = async (path: string, headers: Record<string, string> = {}) =>
      (await connect(running.port)).request('GET', path, { ...EVENT_STREAM, ...headers });
    return { ...running, manager, get };
  };

  /** A room whose client has had one event. */
  async function inRoom(id: string, more?: Partial<AppDescription>, headers: Record<string, string> = {}) {
    const running = await start(more);
    const client = await running.get(`/rooms/${id}`, headers);
    await eventually(() => sessions[0]?.state === 'open');
    sources.get(id)?.next('first');
    await client.waitFor('data: first');
    return { ...running, client, lastId: committedIdOf(client.body) as string, session: sessions[0] as SseSession };
  }

  it.each([
    ['', {}],
    [', found by its key,', { key: true }],
    [', by POST,', { method: 'POST' }],
  ])(
    `at ${STREAMS * CUTS} random bytes%s arrives without a gap and once, and its handler runs once`,
    async (_how, { key = false, method = 'GET' }: { key?: boolean; method?: string }) => {
      const { port, manager } = await start();
      const journeys = await Promise.all(
        Array.from({ length: STREAMS }, (_, stream) => {
          const headers = key ? { 'x-user': `user ${stream}`, 'x-key': 'answer' } : { 'x-user': `user ${stream}` };
          const body =
            method === 'POST' ? { body: '{"question":"why"}', headers: { ...headers, 'Content-Type': 'application/json' } } : { headers };
          return follow({
            port,
            method,
            path: `/numbered/s${stream}`,
            ...body,
            cuts: CUTS,
            cutWithin: CUT_WITHIN,
            random: seeded(SEED + stream),
          });
        }),
      );
      const seen = journeys.map(({ blocks, cuts, lastStatus, resets }, stream) => {
        const events = blocks.map(({ data }) => JSON.parse(data as string) as { n: number; tag: string; filler: string });
        const isExact = events.every(({ n, tag, filler }, index) => {
          return n === index && tag === `s${stream}` && filler.length === (n % 50 === 49 ? 100_000 : (n * 37) % 700);
        });
        return { seed: SEED, events: events.length, isExact, cuts, lastStatus, resets };
      });
      expect(seen).toEqual(seen.map(() => ({ seed: SEED, events: EVENTS, isExact: true, cuts: CUTS, lastStatus: 204, resets: 0 })));
      const blindReturns = journeys.reduce((sum, each) => sum + each.blindReturns, 0);
      expect(handlerCalls).toBe(STREAMS + (key ? 0 : blindReturns));
      // those that nobody knows the way to are left to their grace
      expect(manager.stats().sessions).toMatchObject({ connecting: 0, open: 0, closing: 0 });
      expect(manager.stats().resume.ended).toBeGreaterThanOrEqual(STREAMS);
      if (key) expect(manager.size).toBe(0);
    },
  );

  it('is not to be had by the path of another, and lives on', async () => {
    const { get, lastId, session, client } = await inRoom('mine', {}, { 'x-user': 'ann' });
    const other = await get('/rooms/yours', { 'Last-Event-ID': lastId.replace(/:.*/, ':0'), 'x-user': 'ann' });
    await other.waitFor('unknown');
    expect(dataIn(other)).toEqual(['reset {"reason":"unknown"}']);
    expect(handlerCalls).toBe(2);
    expect(session).toMatchObject({ state: 'open', connections: 1 });
    // the query is no part of the path, and another way to write the path is another path
    const same = await get('/rooms/mine?theme=dark', { 'Last-Event-ID': lastId, 'x-user': 'ann' });
    await eventually(() => session.connections === 2);
    const encoded = await get('/rooms/%6Dine', { 'Last-Event-ID': lastId, 'x-user': 'ann' });
    await encoded.waitFor('unknown');
    session.send('last');
    await client.waitFor('data: last');
    await same.waitFor('data: last');
    expect(dataIn(same)).toEqual(['last']);
    expect(dataIn(encoded)).toEqual(['reset {"reason":"unknown"}']);
  });

  it('is not to be had when a guard refuses, and is left as it was', async () => {
    const { get, lastId, session, client, manager } = await inRoom('mine', {}, { 'x-user': 'ann' });
    client.socket.destroy();
    await eventually(() => session.state === 'detached');
    const refused = await get('/rooms/mine', { 'Last-Event-ID': lastId, 'x-user': 'ann', 'x-token': 'revoked' });
    expect(await refused.whole()).toMatchObject({ status: 401 });
    expect(refused.body).not.toContain('first');
    expect(session).toMatchObject({ state: 'detached', connections: 0, closeReason: undefined });
    sources.get('mine')?.next('second');
    const again = await get('/rooms/mine', { 'Last-Event-ID': lastId, 'x-user': 'ann' });
    await again.waitFor('data: second');
    expect(dataIn(again)).toEqual(['second']);
    expect(handlerCalls).toBe(1);
    expect(manager.size).toBe(1);
  });

  if (adapter === 'fastify') {
    it('over HTTP/2 arrives without a gap and once, cut by streams and by connections', async () => {
      const { url, manager } = await start({ adapterOptions: { http2: true } as never });
      const random = seeded(SEED);
      const journey = async (stream: number): Promise<number[]> => {
        const numbers: number[] = [];
        let lastId: string | undefined;
        for (let visit = 0; ; visit++) {
          const connection = connectH2(url);
          const request = connection.request({
            ':path': `/numbered/h${stream}`,
            accept: 'text/event-stream',
            'x-user': `user ${stream}`,
            'x-key': 'answer',
            ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
          });
          const budget = visit < CUTS ? Math.floor(random() * CUT_WITHIN) : Infinity;
          let received = Buffer.alloc(0);
          let status = 0;
          request.on('response', (headers) => (status = Number(headers[':status'])));
          request.on('error', () => undefined);
          await new Promise<void>((resolve) => {
            request.once('close', resolve);
            request.on('data', (chunk: Buffer) => {
              received = Buffer.concat([received, chunk]);
              if (received.length < budget) return;
              received = received.subarray(0, budget);
              if (random() < 0.5) request.close(8);
              else connection.destroy();
            });
          });
          connection.destroy();
          const text = received.toString();
          for (const { data, type } of blocksOf(text)) {
            expect(type).toBe('');
            if (data !== undefined) numbers.push((JSON.parse(data) as { n: number }).n);
          }
          lastId = committedIdOf(text) ?? lastId;
          if (status === 204) return numbers;
        }
      };
      const all = await Promise.all(Array.from({ length: 5 }, (_, stream) => journey(stream)));
      for (const numbers of all)
        expect({ seed: SEED, numbers }).toEqual({ seed: SEED, numbers: Array.from({ length: EVENTS }, (_, n) => n) });
      expect(handlerCalls).toBe(5);
      expect(manager.size).toBe(0);
    });

    it('over HTTP/2 is two tabs of one connection, too', async () => {
      const { url } = await start({ adapterOptions: { http2: true } as never });
      const connection = connectH2(url);
      const first = h2Request(url, '/rooms/mine', connection);
      await eventually(() => sessions[0]?.state === 'open');
      sources.get('mine')?.next('a');
      await eventually(() => first.body().includes('data: a'));
      const id = committedIdOf(first.body()) as string;
      const second = h2Request(url, `/rooms/mine?lastEventId=${id.replace(/:.*/, ':0')}`, connection);
      await eventually(() => second.body().includes('data: a'));
      first.stream.close(8);
      await eventually(() => sessions[0]?.connections === 1);
      sources.get('mine')?.next('b');
      await eventually(() => second.body().includes('data: b'));
      expect(sessions).toHaveLength(1);
      connection.destroy();
    });
  }
});
