import { expect, it } from '@jest/globals';
import { Controller, Inject, Query } from '@nestjs/common';
import {
  CurrentSession,
  LastEventId,
  ManagedSse,
  SessionManager,
  type SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
} from 'nestjs-sse-session';
import { describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { type RawClient, connect } from '../support/raw-client.js';

@Controller()
class FeedController {
  constructor(@Inject(SessionManager) private readonly sessions: SessionManager) {}

  /** One channel, or several; a client that comes back misses nothing. */
  @ManagedSse('feed')
  feed(@Query('names') names: string, @LastEventId() after?: string) {
    const [name = '', ...others] = names.split(',');
    return others.length > 0 ? this.sessions.stream([name, ...others], { after }) : this.sessions.channel(name).stream({ after });
  }

  /** The newest of what a client has not seen yet. */
  @ManagedSse('newest')
  newest(@LastEventId() after?: string) {
    return this.sessions.channel('prices').stream({ after, replay: 1 });
  }

  /** The state as it is first, then what changes. */
  @ManagedSse('snapshot')
  async snapshot(@CurrentSession() session: SseSession, @LastEventId() after?: string) {
    const channel = this.sessions.channel<number>('prices');
    if (after !== undefined) return channel.stream({ after });
    const position = await channel.position();
    session.send({ type: 'snapshot', data: await takeSnapshot(channel), id: position });
    return channel.stream({ after: position });
  }
}

/** Takes so long that a price changes meanwhile. */
async function takeSnapshot(channel: { publish(price: number): Promise<string> }): Promise<string> {
  await channel.publish(2);
  return 'prices until 1, or 2';
}

describeEachAdapter('Channels', ({ startApp }) => {
  async function start(channels: SseSessionModuleOptions['channels'] = undefined) {
    const running = await startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false, channels })],
      controllers: [FeedController],
      appOptions: { logger: false },
    });
    const manager = running.app.get(SessionManager);
    const publish = async (name: string, ...events: string[]): Promise<string[]> => {
      const ids: string[] = [];
      for (const event of events) ids.push(await manager.channel<string>(name).publish(event));
      return ids;
    };
    const open = async (path: string, lastEventId?: string): Promise<RawClient> => {
      const client = await connect(running.port);
      client.request('GET', path, lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId });
      expect((await client.head()).status).toBe(200);
      return client;
    };
    return { ...running, manager, publish, open };
  }

  const dataOf = ({ body }: RawClient): string[] => eventsOf(body).map(({ event, data }) => (event === 'reset' ? `reset ${data}` : data));
  const idsOf = ({ body }: RawClient): (string | undefined)[] => eventsOf(body).map(({ id }) => id);

  it('reach every session that reads them, and only those', async () => {
    const { manager, publish, open } = await start();
    const clients = [await open('/feed?names=a'), await open('/feed?names=a,b'), await open('/feed?names=c')];
    expect([manager.channel('a').size, manager.channel('b').size, manager.channel('c').size]).toEqual([2, 1, 1]);
    const ids = [...(await publish('a', '1')), ...(await publish('b', '2')), ...(await publish('a', '3')), ...(await publish('c', 'end'))];
    await clients[2]?.waitFor('end');
    await eventually(() => expect(clients.map(dataOf)).toEqual([['1', '3'], ['1', '2', '3'], ['end']]));
    expect(idsOf(clients[1] as RawClient)).toEqual(ids.slice(0, 3));
    expect(manager.stats().channels).toMatchObject({ streams: 3, events: 4 });
    expect(ids[0]).toMatch(/^[\w-]{8}:1$/);
  });

  it.each(['the header', 'the query'])('give a client that comes back what it has missed, by %s', async (how) => {
    const { publish, open } = await start();
    const first = await open('/feed?names=a,b');
    await publish('a', '1');
    await publish('b', '2');
    await first.waitFor('data: 2');
    const id = idsOf(first).at(-1) as string;
    await first.fin();
    await publish('a', '3', '4');
    await publish('b', '5');
    await publish('c', 'not its own');
    const second =
      how === 'the header' ? await open('/feed?names=a,b', id) : await open(`/feed?names=a,b&lastEventId=${encodeURIComponent(id)}`);
    await publish('a', '6');
    await second.waitFor('data: 6');
    expect(dataOf(second)).toEqual(['3', '4', '5', '6']);
  });

  it('begin with the newest event for a new client, and with what was missed for another', async () => {
    const { publish, open } = await start();
    const ids = await publish('prices', '1', '2', '3');
    const fresh = await open('/newest');
    await fresh.waitFor('data: 3');
    const returned = await open('/newest', ids[0]);
    await returned.waitFor('data: 3');
    expect([dataOf(fresh), dataOf(returned)]).toEqual([['3'], ['2', '3']]);
  });

  it('go on after a snapshot, without a gap', async () => {
    const { publish, open } = await start();
    await publish('prices', '0', '1');
    const client = await open('/snapshot');
    await publish('prices', '3');
    await client.waitFor('data: 3');
    expect(dataOf(client)).toEqual(['prices until 1, or 2', '2', '3']);
    // cut right after the snapshot
    const returned = await open('/snapshot', idsOf(client)[0]);
    await returned.waitFor('data: 3');
    expect(dataOf(returned)).toEqual(['2', '3']);
  });

  it('wait in the log for a client that does not read: it is paused, costs little, and misses nothing', async () => {
    const { manager, publish, open } = await start();
    const slow = await open('/feed?names=a');
    const quick = await open('/feed?names=a');
    slow.pause();
    const kilobytes = 'x'.repeat(10_000);
    const total = 2_000;
    for (let n = 0; n < total; n++) {
      await publish('a', `#${n}# ${kilobytes}`);
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const [slowSession, quickSession] = [...manager] as [SseSession, SseSession];
    const hasAll = async (client: RawClient, session: SseSession): Promise<void> => {
      await eventually(() => expect(session.eventsSent).toBe(total), 20_000);
      await eventually(() => client.bytesReceived > session.bytesSent, 20_000);
    };
    await hasAll(quick, quickSession);
    expect(slowSession).toMatchObject({ state: 'open', eventsDropped: 0 });
    expect(slowSession.pendingBytes).toBeLessThan(400_000);
    expect(slowSession.eventsSent).toBeLessThan(total);
    slow.resume();
    await hasAll(slow, slowSession);
    for (const client of [slow, quick]) {
      expect(dataOf(client).map((data) => Number(/^#(\d+)#/.exec(data)?.[1]))).toEqual(Array.from({ length: total }, (_, n) => n));
    }
    expect(manager.stats()).toMatchObject({ sessions: { open: 2 }, events: { dropped: 0 } });
  }, 60_000);

  it('are read no more once a client has gone', async () => {
    const { manager, open } = await start();
    const clients = [await open('/feed?names=a'), await open('/feed?names=a,b')];
    expect(manager.channel('a').size).toBe(2);
    await clients[0]?.fin();
    await eventually(() => expect(manager.channel('a').size).toBe(1));
    await clients[1]?.reset();
    await eventually(() => expect([manager.channel('a').size, manager.channel('b').size]).toEqual([0, 0]));
    expect(manager.stats().channels.streams).toBe(0);
  });

  it.each([
    ['malformed', 'an id of somebody else'],
    ['unknown', 'AAAAAAAA:1'],
    ['future', undefined],
  ])('say once that events may be missing, as %s, and then give what there is', async (reason, id) => {
    const { publish, open } = await start();
    const [first] = await publish('a', '1', '2');
    const client = await open('/feed?names=a', id ?? `${first?.split(':')[0]}:99`);
    await publish('a', '3');
    await client.waitFor('data: 3');
    expect(dataOf(client)).toEqual([`reset {"reason":"${reason}"}`, '1', '2', '3']);
    // cut right after the reset
    const returned = await open('/feed?names=a', idsOf(client)[0]);
    await returned.waitFor('data: 3');
    expect(dataOf(returned)).toEqual(['1', '2', '3']);
  });

  it('say that events were trimmed, only to those whose events they were', async () => {
    const { publish, open } = await start({ maxBytes: 40 });
    const [a] = await publish('a', '1');
    const [b] = await publish('b', '1');
    await publish('a', '2', '3', '4', '5', '6');
    const [lost, whole] = [await open('/feed?names=a', a), await open('/feed?names=b', b)];
    await publish('b', '7');
    await publish('a', '8');
    await lost.waitFor('data: 8');
    await whole.waitFor('data: 7');
    expect(dataOf(lost)).toEqual(['reset {"reason":"trimmed"}', '3', '4', '5', '6', '8']);
    expect(dataOf(whole)).toEqual(['7']);
  });

  it('take events also after the application has stopped', async () => {
    const { manager, publish, open, close } = await start();
    const client = await open('/feed?names=a');
    await publish('a', '1');
    await client.waitFor('data: 1');
    await close();
    expect(manager.channel('a').size).toBe(0);
    await expect(publish('a', '2')).resolves.toEqual([expect.stringMatching(/:2$/)]);
  });

  it('are refused with a name or an option that cannot be, as the 500 of a mistake', async () => {
    const { port, manager } = await start();
    const client = await connect(port);
    client.request('GET', '/feed?names=');
    expect((await client.head()).status).toBe(500);
    expect(manager.stats().channels.streams).toBe(0);
  });
});
