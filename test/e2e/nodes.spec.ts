import { expect, it } from '@jest/globals';
import { Subject } from 'rxjs';
import { STORAGE_ENGINE } from '../../lib/module/storage-engine.js';
import { describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM, type Life, type LifeHandler, startLife } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';
import { SharedEngine } from '../support/shared-engine.js';

const ANN = { ...EVENT_STREAM, 'x-user': 'ann', 'x-key': 'answer' };
const dataIn = (client: RawClient) => eventsOf(client.body).map(({ data, event }) => (event ? `${event} ${data}` : data));
const lastId = (client: RawClient) => eventsOf(client.body).at(-1)?.id as string;

/*
 * What is above the two ports for storage runs on several nodes as it stands: an engine that finds sessions and logs of other nodes is enough.
 */
describeEachAdapter('Two nodes that share an engine', ({ startApp }) => {
  async function nodes(handler: LifeHandler): Promise<[Life, Life]> {
    const engine = new SharedEngine();
    const header = (name: string) => (context: { switchToHttp(): { getRequest<T>(): T } }) =>
      context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers[name];
    const start = () =>
      startLife(startApp, handler, {
        route: { resume: {}, heartbeat: false, endEvent: { type: 'end' }, principal: header('x-user'), key: header('x-key') },
        app: { overrides: (builder) => builder.overrideProvider(STORAGE_ENGINE).useValue(engine.node()) },
      });
    return [await start(), await start()];
  }

  async function begun() {
    const source = new Subject<unknown>();
    const [here, there] = await nodes(() => source);
    const client = await here.get('/life', ANN);
    await eventually(() => here.sessions[0]?.state === 'open');
    source.next('a');
    await client.waitFor('data: a');
    return { source, here, there, client, session: here.sessions[0]! };
  }

  it('bring a client back to a session of the other one, by its id and by its key', async () => {
    const { source, here, there, client, session } = await begun();
    client.socket.destroy();
    await eventually(() => session.state === 'detached');
    source.next('b');
    const again = await there.get('/life', { ...ANN, 'Last-Event-ID': lastId(client) });
    await again.waitFor('data: b');
    expect(session).toMatchObject({ state: 'open', connections: 1 });
    const byKey = await there.get('/life', ANN);
    await byKey.waitFor('data: b');
    source.next('c');
    await Promise.all([again.waitFor('data: c'), byKey.waitFor('data: c')]);
    expect([dataIn(again), dataIn(byKey)]).toEqual([
      ['b', 'c'],
      ['a', 'b', 'c'],
    ]);
    expect([here.sessions.length, there.sessions.length]).toEqual([1, 0]);
    source.complete();
    await again.whole();
    expect(dataIn(again).at(-1)).toBe('end {"reason":"complete"}');
    expect(lastId(again)).toMatch(/:end$/);
  });

  it('let a session detach when its last client on the other one has gone', async () => {
    const { there, client, session } = await begun();
    const other = await there.get('/life', { ...ANN, 'Last-Event-ID': lastId(client) });
    await eventually(() => session.connections === 2);
    client.socket.destroy();
    await eventually(() => session.connections === 1);
    expect(session.state).toBe('open');
    other.socket.destroy();
    await eventually(() => session.state === 'detached');
  });

  it('end a session of the other one by cancel() and cancelAll()', async () => {
    const { here, there, session, source } = await begun();
    expect(await there.manager.cancel('unknown')).toBe(false);
    expect(await there.manager.cancel(session.id)).toBe(true);
    expect(session.closeReason).toBe('cancelled');
    expect(source.observed).toBe(false);
    expect(await there.manager.cancel(session.id)).toBe(false);
    const client = await here.get('/life', { ...ANN, 'x-key': 'another' });
    await eventually(() => here.sessions[1]?.state === 'open');
    expect(await there.manager.cancelAll({ principal: 'ann' })).toBe(1);
    await client.whole();
    expect(here.sessions[1]!.closeReason).toBe('cancelled');
  });

  it('give what one publishes to those who read on the other', async () => {
    const [here, there]: [Life, Life] = await nodes((_session, { headers }) =>
      there.manager.channel('news').stream({ after: headers['last-event-id'] }),
    );
    const client = await there.get('/life', EVENT_STREAM);
    await eventually(() => there.manager.channel('news').size === 1);
    await here.manager.channel('news').publish('a');
    await client.waitFor('data: a');
  });
});
