import { expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import type { SseSession } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, Subject, concat, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventsOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM, type Life, type LifeHandler, type LifeOptions, startLife, turns } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

const header = (name: string) => (context: ExecutionContext) =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers[name];

const IDENTITY = { principal: header('x-user'), key: header('x-key') };
const ID = /^[\w-]{22}:\d+$/;

/** The last id that a client has. */
function lastId(client: RawClient): string {
  const id = eventsOf(client.body)
    .map((event) => event.id)
    .filter((each) => each !== undefined)
    .at(-1);
  if (id === undefined) throw new Error(`No id in ${client.body}`);
  return id;
}

function dataIn(client: RawClient): string[] {
  return eventsOf(client.body).map(({ data, event }) => (event ? `${event} ${data}` : data));
}

/** Leaves, and waits until the server has noticed. */
async function leave(client: RawClient, session: SseSession): Promise<void> {
  const { connections } = session;
  client.socket.destroy();
  await eventually(() => session.connections < connections);
}

describeEachAdapter('A session with resume', ({ startApp }) => {
  const clock = () => new FakeClock();

  function start(handler: LifeHandler, { route, ...rest }: LifeOptions = {}): Promise<Life> {
    return startLife(startApp, handler, { ...rest, route: { resume: {}, heartbeat: false, ...IDENTITY, ...route } });
  }

  /** A session whose source is a Subject. */
  async function live(options: LifeOptions = {}) {
    const source = new Subject<unknown>();
    const life = await start(() => source, options);
    const back = (id: string, headers: Record<string, string> = {}) =>
      life.get('/life', { ...EVENT_STREAM, 'Last-Event-ID': id, ...headers });
    return { source, life, back };
  }

  /** One whose first client is there. */
  async function begun(options: LifeOptions = {}) {
    const its = await live(options);
    const client = await its.life.get();
    await eventually(() => its.life.sessions[0]?.state === 'open');
    return { ...its, client };
  }

  it('gives its events ids, which begin with the opening lines', async () => {
    const { source, life, client } = await begun();
    source.next('a');
    source.next({ type: 'tick', data: 'b' });
    await client.waitFor('data: b');
    const [token] = lastId(client).split(':') as [string];
    expect(client.body).toBe(`retry: 2000\nid: ${token}:0\ndata: a\nid: ${token}:1\n\nevent: tick\ndata: b\nid: ${token}:2\n\n`);
    expect(lastId(client)).toMatch(ID);
    expect(token).not.toContain(life.sessions[0]!.id);
  });

  it('goes on without its client, which comes back by the id and misses nothing', async () => {
    const { source, life, back, client } = await begun();
    source.next('a');
    await client.waitFor('data: a');
    const [session] = life.sessions as [SseSession];
    await leave(client, session);
    expect(session).toMatchObject({ state: 'detached', connections: 0, closeReason: undefined });
    expect(session.signal.aborted).toBe(false);
    source.next('b');
    source.next('c');
    const again = await back(lastId(client));
    await again.waitFor('data: c');
    source.next('d');
    await again.waitFor('data: d');
    expect(dataIn(again)).toEqual(['b', 'c', 'd']);
    expect(session).toMatchObject({ state: 'open', connections: 1 });
    expect(life.sessions).toHaveLength(1);
    expect(life.log.filter((line) => line.startsWith('events$'))).toEqual([
      'events$ open',
      'events$ detach client-disconnect',
      'events$ attach',
    ]);
    expect(life.log.filter((line) => line.endsWith('open'))).toHaveLength(4);
  });

  it('is found by the query parameter lastEventId, which a header goes before', async () => {
    const { source, life, client } = await begun();
    for (const data of ['a', 'b', 'c']) source.next(data);
    await client.waitFor('data: c');
    const [token] = lastId(client).split(':') as [string];
    const byQuery = await life.get(`/life?lastEventId=${token}:1`);
    await byQuery.waitFor('data: c');
    expect(dataIn(byQuery)).toEqual(['b', 'c']);
    const byBoth = await life.get(`/life?lastEventId=${token}:1`, { ...EVENT_STREAM, 'Last-Event-ID': `${token}:2` });
    await byBoth.waitFor('data: c');
    expect(dataIn(byBoth)).toEqual(['c']);
    expect(life.sessions[0]!.connections).toBe(3);
    await leave(byBoth, life.sessions[0]!);
    expect(life.sessions[0]!.state).toBe('open');
  });

  it('is found by its key from the beginning, also before it has opened, and the handler runs once', async () => {
    const source = new Subject<unknown>();
    let resolve: (() => void) | undefined;
    const handled = new Promise<void>((done) => (resolve = done));
    const life = await start(async () => {
      await handled;
      return source;
    });
    const user = { ...EVENT_STREAM, 'x-user': 'ann', 'x-key': 'answer 1' };
    const first = await life.get('/life', user);
    await eventually(() => life.sessions.length === 1);
    const second = await life.get('/life', user);
    await turns();
    expect(life.sessions[0]!.connections).toBe(1);
    first.socket.destroy();
    // the second one has waited for it
    await eventually(() => life.log.includes('events$ attach'));
    expect(life.sessions[0]).toMatchObject({ state: 'connecting', connections: 1 });
    expect(life.sessions[0]!.signal.aborted).toBe(false);
    resolve?.();
    await eventually(() => life.sessions[0]!.state === 'open');
    source.next('a');
    await second.waitFor('data: a');
    const third = await life.get('/life', user);
    await third.waitFor('data: a');
    expect(life.sessions).toHaveLength(1);
    const other = await life.get('/life', { ...user, 'x-user': 'bob' });
    await other.waitFor('retry');
    expect(life.sessions).toHaveLength(2);
  });

  it('ends as client-disconnect when nobody has come back within graceMs', async () => {
    const time = clock();
    const { source, life, back, client } = await begun({ clock: time, route: { resume: { graceMs: 10_000 } } });
    source.next('a');
    await client.waitFor('data: a');
    const [session] = life.sessions as [SseSession];
    await leave(client, session);
    time.advance(9_900);
    expect(session.state).toBe('detached');
    time.advance(200);
    expect(session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect' });
    expect(source.observed).toBe(false);
    expect(life.ends).toMatchObject([{ reason: 'client-disconnect', isManaged: false, isAborted: true }]);
    const again = await back(lastId(client));
    await again.waitFor('expired');
    expect(dataIn(again)).toEqual(['reset {"reason":"expired"}']);
    expect(life.sessions).toHaveLength(2);
  });

  it('ends with its client when that was cut before its first block, or knows no other way back', async () => {
    const { life } = await live();
    const client = await life.get();
    await client.waitFor('retry');
    client.socket.destroy();
    await eventually(() => life.ends.length === 1);
    expect(life.ends[0]).toMatchObject({ reason: 'client-disconnect', isAborted: true });
  });

  it('ends with its last client with onDisconnect: cancel', async () => {
    const { source, life } = await live({ route: { resume: { onDisconnect: 'cancel' } } });
    const [one, two] = [
      await life.get('/life', { ...EVENT_STREAM, 'x-user': 'a', 'x-key': 'k' }),
      await life.get('/life', { ...EVENT_STREAM, 'x-user': 'a', 'x-key': 'k' }),
    ];
    await eventually(() => life.sessions[0]?.connections === 2);
    source.next('a');
    await two.waitFor('data: a');
    await leave(one, life.sessions[0]!);
    expect(life.sessions[0]!.state).toBe('open');
    two.socket.destroy();
    await eventually(() => life.ends.length === 1);
    expect(life.ends[0]).toMatchObject({ reason: 'client-disconnect' });
  });

  it.each<[string, (session: SseSession, life: Life, source: Subject<unknown>) => unknown, string[]]>([
    ['complete', (session) => session.complete(), []],
    ['cancelled', (session, life) => life.manager.cancel(session.id), []],
    ['error', (_session, _life, source) => source.error(new Error('secret')), ['error Internal server error']],
  ])('stops a client that comes back after %s, once it has what it missed', async (reason, end, last) => {
    const { source, life, back, client } = await begun();
    source.next('a');
    await client.waitFor('data: a');
    const [session] = life.sessions as [SseSession];
    await leave(client, session);
    source.next('b');
    await end(session, life, source);
    await eventually(() => session.state === 'closed');
    expect(session.closeReason).toBe(reason);
    const rest = await back(lastId(client));
    expect(await rest.whole()).toMatchObject({ status: 200 });
    expect(dataIn(rest)).toEqual(['b', ...last]);
    const quiet = await back(lastId(rest));
    expect(await quiet.whole()).toMatchObject({ status: 204, body: '' });
    expect(life.sessions).toHaveLength(1);
    expect(life.manager.stats()).toMatchObject({ connections: 0, resume: { ended: 1 } });
  });

  it('says end in the last id with endEvent, which any node answers with 204', async () => {
    const life = await start(() => of('a'), { route: { endEvent: { type: 'done' } } });
    const client = await life.get();
    await client.whole();
    expect(client.body).toMatch(/event: done\ndata: {"reason":"complete"}\nid: [\w-]{22}:end\n\n$/);
    expect(await (await life.get('/life', { ...EVENT_STREAM, 'Last-Event-ID': lastId(client) })).whole()).toMatchObject({ status: 204 });
    const elsewhere = { ...EVENT_STREAM, 'Last-Event-ID': `${'x'.repeat(22)}:end` };
    expect(await (await life.get('/life', elsewhere)).whole()).toMatchObject({ status: 204 });
    expect(life.sessions).toHaveLength(1);
  });

  it('commits its id also when it ends without an event', async () => {
    const life = await start(() => of());
    const client = await life.get();
    await client.whole();
    expect(client.body).toMatch(/^retry: 2000\nid: [\w-]{22}:0\n\n$/);
    const [, id] = /id: (\S+)/.exec(client.body) as unknown as [string, string];
    expect(await (await life.get('/life', { ...EVENT_STREAM, 'Last-Event-ID': id })).whole()).toMatchObject({ status: 204 });
  });

  it('lets its clients start anew with close({ reconnect: true }), without a reset', async () => {
    const { source, life, back, client } = await begun({ route: { endEvent: { type: 'done' } } });
    source.next('a');
    await client.waitFor('data: a');
    life.sessions[0]!.close({ reconnect: true });
    await client.whole();
    expect(dataIn(client)).toEqual(['a']);
    const again = await back(lastId(client));
    await again.waitFor('retry');
    await eventually(() => life.sessions[1]?.state === 'open');
    source.next('b');
    await again.waitFor('data: b');
    expect(dataIn(again)).toEqual(['b']);
  });

  it('tells a client once, by a reset, that its log no longer reaches back', async () => {
    const { source, life, back, client } = await begun({ route: { resume: { maxEvents: 2 } } });
    source.next('a');
    await client.waitFor('data: a');
    await leave(client, life.sessions[0]!);
    for (const data of ['b', 'c', 'd']) source.next(data);
    const again = await back(lastId(client));
    await again.waitFor('data: d');
    expect(dataIn(again)).toEqual(['reset {"reason":"trimmed"}', 'c', 'd']);
    const [token] = lastId(client).split(':') as [string];
    // cut right after the reset, it hears of it no more
    const reset = eventsOf(again.body)[0]!;
    expect(reset.id).toBe(`${token}:2`);
    const third = await back(reset.id!);
    await third.waitFor('data: d');
    expect(dataIn(third)).toEqual(['c', 'd']);
  });

  it.each<[string, (id: string) => string, string]>([
    ['unknown', (id) => id.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')), 'unknown'],
    ['malformed', () => 'something', 'malformed'],
    ['malformed, with a sign', (id) => id.replace(':', ':-'), 'malformed'],
    ['of the future', (id) => id.replace(/:.*/, ':99'), 'future'],
    ['sent twice', (id) => `${id}, ${id}`, 'malformed'],
  ])('that an id which is %s does not find starts anew, with one reset', async (_what, change, reason) => {
    const { source, life, back, client } = await begun();
    source.next('a');
    await client.waitFor('data: a');
    const again = await back(change(lastId(client)));
    await eventually(() => life.sessions[1]?.state === 'open');
    source.next('b');
    await again.waitFor('data: b');
    expect(dataIn(again)).toEqual([`reset {"reason":"${reason}"}`, 'b']);
    expect(life.sessions).toHaveLength(2);
  });

  it("is never another's: not of another principal, nor by another path", async () => {
    const { source, life, back } = await live();
    const client = await life.get('/life', { ...EVENT_STREAM, 'x-user': 'ann' });
    await eventually(() => life.sessions[0]?.state === 'open');
    source.next('private');
    await client.waitFor('private');
    const thief = await back(lastId(client).replace(/:.*/, ':0'), { 'x-user': 'bob' });
    await thief.waitFor('reset');
    expect(dataIn(thief)).toEqual(['reset {"reason":"unknown"}']);
    const nobody = await back(lastId(client).replace(/:.*/, ':0'));
    await nobody.waitFor('reset');
    expect(dataIn(nobody)).toEqual(['reset {"reason":"unknown"}']);
  });

  it('is not that of an id when the application means another session by its key', async () => {
    const { source, life, back } = await live();
    const ann = { ...EVENT_STREAM, 'x-user': 'ann' };
    const client = await life.get('/life', { ...ann, 'x-key': 'one' });
    await eventually(() => life.sessions[0]?.state === 'open');
    source.next('of one');
    await client.waitFor('of one');
    const id = lastId(client).replace(/:.*/, ':0');
    const other = await back(id, { ...ann, 'x-key': 'two' });
    await other.waitFor('reset');
    expect(dataIn(other)).toEqual(['reset {"reason":"unknown"}']);
    expect(life.sessions[1]).toMatchObject({ key: 'two', connections: 1 });
    for (const key of [{}, { 'x-key': 'one' }]) {
      const same = await back(id, { ...ann, ...key });
      await same.waitFor('of one');
      expect(dataIn(same)).toEqual(['of one']);
    }
  });

  it('is ended at once by a cancel, also while nobody is attached', async () => {
    const { source, life } = await live();
    const client = await life.get('/life', { ...EVENT_STREAM, 'x-user': 'ann', 'x-key': 'k' });
    await eventually(() => life.sessions[0]?.state === 'open');
    source.next('a');
    await client.waitFor('data: a');
    await leave(client, life.sessions[0]!);
    expect(await life.manager.cancelAll({ principal: 'ann', key: 'k' })).toBe(1);
    expect(source.observed).toBe(false);
    expect(life.sessions[0]!.signal.aborted).toBe(true);
    await eventually(() => life.ends.length === 1);
  });

  it('refuses an event with an id of its own, and lives on', async () => {
    const { life, client } = await begun();
    expect(() => life.sessions[0]!.send({ data: 'x', id: '7' })).toThrow(expect.objectContaining({ code: 'INVALID_EVENT' }));
    expect(() => life.manager.broadcast({ data: 'x', id: '7' })).toThrow(expect.objectContaining({ code: 'INVALID_EVENT' }));
    life.sessions[0]!.send('y');
    await client.waitFor('data: y');
  });

  it('without resume is not on the wire', async () => {
    const life = await startLife(startApp, () => concat(of('a'), NEVER), { route: { resume: false, ...IDENTITY } });
    const client = await life.get('/life', { ...EVENT_STREAM, 'Last-Event-ID': `${'x'.repeat(22)}:3`, 'x-user': 'a', 'x-key': 'k' });
    await client.waitFor('data: a');
    expect(client.body).toBe('retry: 2000\ndata: a\n\n');
  });

  it('leaves the ids to a channel whose stream its handler returns, and ends with its client', async () => {
    const life: Life = await start((_session, request) => {
      const after = request.headers['last-event-id'];
      return life.manager.channel('news').stream({ after });
    });
    const client = await life.get();
    await eventually(() => life.manager.channel('news').size === 1);
    const id = await life.manager.channel('news').publish('a');
    await client.waitFor('data: a');
    expect(client.body).toBe(`retry: 2000\ndata: a\nid: ${id}\n\n`);
    client.socket.destroy();
    await eventually(() => life.ends.length === 1);
    expect(life.ends).toMatchObject([{ reason: 'client-disconnect' }]);
    await life.manager.channel('news').publish('b');
    const again = await life.get('/life', { ...EVENT_STREAM, 'Last-Event-ID': id });
    await again.waitFor('data: b');
    expect(dataIn(again)).toEqual(['b']);
    expect(life.sessions).toHaveLength(2);
    expect(life.manager.stats()).toMatchObject({ resume: { ended: 0, bytes: 0 } });
  });
});
