import { describe, expect, it, jest } from '@jest/globals';
import { NEVER } from 'rxjs';
import type { RouteOptions } from '../../../lib/options/options.js';
import type { CloseReason } from '../../../lib/options/close-reasons.js';
import { Cleanup } from '../../../lib/session/cleanup.js';
import type { ManagedSession } from '../../../lib/session/managed-session.js';
import { Shutdown } from '../../../lib/session/shutdown.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { createChannelLog } from '../../../lib/channel/channel-log.js';
import { Channels } from '../../../lib/channel/channels.js';
import { type SessionStats, takeStats } from '../../../lib/manager/stats.js';
import { blocksOf, committedIdOf } from '../../support/blocks.js';
import { type Arrival, MemoryApp, type SessionDescription, handle, turns } from '../../support/memory-session.js';

const ANN = { principal: 'ann', key: 'answer' };
const QUIET = { retryMs: false, heartbeat: false } as const;

function resumable(options: RouteOptions = {}, more: SessionDescription = {}): SessionDescription {
  return { options: { ...QUIET, resume: {}, ...options }, ...more };
}

/** What a client has, without what dispatches nothing. */
function dataIn({ response }: { response: MemoryResponse }): string[] {
  return blocksOf(response.received).flatMap(({ type, data }) => (data === undefined ? [] : [type ? `${type} ${data}` : data]));
}

function idIn({ response }: { response: MemoryResponse }): string {
  return committedIdOf(response.received) as string;
}

function statsOf({ registry }: MemoryApp): SessionStats {
  return takeStats(registry, new Channels(createChannelLog(registry.options.channels, () => 0)), undefined);
}

/** A response whose every write fails, as one does that middleware has replaced. */
class FailingResponse extends MemoryResponse {
  isFailing = false;

  override write(chunk: string | Buffer): boolean {
    if (this.isFailing) throw new Error('broken');
    return super.write(chunk);
  }
}

/** A session that has sent `first` to its client. */
async function begun(app: MemoryApp, options: RouteOptions = {}, more: SessionDescription = {}) {
  const description = resumable(options, more);
  const client = app.open(description);
  client.session.send('first');
  await turns();
  const back = (id = idIn(client), response = new MemoryResponse()): Arrival => app.arrive({ ...description, response }, id);
  return { ...client, description, back };
}

async function detached(app: MemoryApp, options: RouteOptions = {}, more: SessionDescription = {}) {
  const client = await begun(app, options, more);
  client.response.disconnect();
  expect(client.session.state).toBe('detached');
  return client;
}

describe('a resumable session', () => {
  it('goes from open to detached and back as often as its client does, and is opened once', async () => {
    const app = new MemoryApp();
    const client = await begun(app);
    let last: { response: MemoryResponse } = client;
    for (let n = 0; n < 5; n++) {
      last.response.disconnect();
      expect(client.session).toMatchObject({ state: 'detached', connections: 0, closeReason: undefined });
      client.session.send(`missed ${n}`);
      last = client.back(idIn(last));
      expect(client.session).toMatchObject({ state: 'open', connections: 1 });
      await turns();
      expect(dataIn(last)).toEqual([`missed ${n}`]);
    }
    client.session.complete();
    await turns();
    expect(client.log).toEqual(['settled', 'open', 'completion complete']);
    expect(app.events).toEqual([
      'open',
      ...Array.from({ length: 5 }, () => ['detach client-disconnect', 'attach']).flat(),
      'completion complete',
    ]);
    expect(app.registry.wheel.size).toBe(0);
    expect(statsOf(app)).toMatchObject({ opened: 1, connections: 0, endedByReason: { complete: 1 } });
  });

  it('counts what it has sent to all its connections, those that have gone too', async () => {
    const app = new MemoryApp();
    const client = await begun(app);
    const second = client.back(idIn(client).replace(/:.*/, ':0'));
    await turns();
    expect(client.session.eventsSent).toBe(2);
    expect(client.session.bytesSent).toBe(client.response.received.length + second.response.received.length);
    client.response.disconnect();
    second.response.disconnect();
    const { eventsSent, bytesSent } = client.session;
    expect(eventsSent).toBe(2);
    client.session.end('cancelled');
    expect(statsOf(app)).toMatchObject({ events: { sent: 2, dropped: 0 }, bytes: { sent: bytesSent, pending: 0 } });
  });

  it('is shown as detached by the statistics, with the memory of its log', async () => {
    const app = new MemoryApp();
    const before = statsOf(app).resume.bytes;
    const { session } = await detached(app);
    session.send('x'.repeat(1_000));
    const stats = statsOf(app);
    expect(stats.sessions).toEqual({ connecting: 0, open: 0, detached: 1, closing: 0 });
    expect(stats.resume.bytes - before).toBeGreaterThan(1_000);
    session.end('unauthorized');
    // nobody can come back to it
    expect(statsOf(app).resume).toEqual({ ended: 1, bytes: before });
  });

  it('tells of a connection that has gone beside others, and lives on', async () => {
    const app = new MemoryApp();
    const client = await begun(app);
    const second = client.back();
    client.response.disconnect(new Error('reset'));
    expect(client.session).toMatchObject({ state: 'open', connections: 1 });
    expect(app.events).toEqual(['open', 'attach', 'detach client-disconnect']);
    client.session.send('on');
    await turns();
    expect(dataIn(second)).toEqual(['on']);
  });

  describe('whose client goes while it is connecting', () => {
    it('detaches when it has a key and a principal, and opens for the client that comes back, from the beginning', async () => {
      const app = new MemoryApp();
      const description = resumable({}, ANN);
      const { session, response, log } = app.connect(description);
      const { signal } = session;
      session.send('early');
      response.disconnect();
      expect(session.state).toBe('detached');
      expect(signal.aborted).toBe(false);
      expect(log).toEqual(['settled']);
      session.send('meanwhile');
      const again = app.arrive(description);
      expect(again.answer).toBe('attached');
      await turns();
      // until the handler has resolved, what fails has its proper status
      expect(session.state).toBe('connecting');
      expect(again.response.isOpen).toBe(false);
      session.handlerResolved();
      await turns();
      expect(dataIn(again)).toEqual(['early', 'meanwhile']);
      expect(session.state).toBe('open');
      expect(log).toEqual(['settled', 'open']);
      expect(app.events).toEqual(['detach client-disconnect', 'attach', 'open']);
    });

    it.each<[string, SessionDescription]>([
      ['no key', { principal: 'ann' }],
      ['no principal', { key: 'answer' }],
    ])('ends with it when it has %s', (_what, who) => {
      const app = new MemoryApp();
      const { session, response, log } = app.connect(resumable({}, who));
      response.disconnect();
      expect(session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect' });
      expect(log).toEqual(['completion client-disconnect', 'settled']);
      expect(app.registry.directory.held).toMatchObject({ ended: 0 });
    });

    it('ends when nobody has come within graceMs, without ever having opened', async () => {
      const app = new MemoryApp();
      const { session, response, log } = app.connect(resumable({ resume: { graceMs: 5_000 } }, ANN));
      handle(session, NEVER);
      response.disconnect();
      await turns();
      app.clock.advance(4_900);
      expect(session.state).toBe('detached');
      app.clock.advance(200);
      expect(session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect', openedAt: undefined });
      expect(log).toEqual(['settled', 'completion client-disconnect']);
      expect(app.registry.wheel.size).toBe(0);
    });

    it.each<[CloseReason, (session: ManagedSession) => unknown]>([
      ['complete', (session) => session.complete()],
      ['error', (session) => session.fail(new Error('late'))],
      ['cancelled', (session) => session.close()],
    ])('ends as %s also without a client', async (reason, end) => {
      const app = new MemoryApp();
      const { session, response, log } = app.connect(resumable({}, ANN));
      response.disconnect();
      end(session);
      await turns();
      expect(session).toMatchObject({ state: 'closed', closeReason: reason });
      expect(log.filter((line) => line.startsWith('completion'))).toEqual([`completion ${reason}`]);
      expect(log).not.toContain('open');
    });
  });

  describe('that is connecting, when a second client comes by its key', () => {
    it('takes that in once it has opened', async () => {
      const app = new MemoryApp();
      const description = resumable({}, ANN);
      const first = app.connect(description);
      const second = app.arrive(description);
      expect(second.answer).toBe('waiting');
      first.session.send('a');
      first.session.open();
      expect(second.answer).toBe('attached');
      await turns();
      expect(first.session.connections).toBe(2);
      expect(dataIn(first)).toEqual(['a']);
      expect(dataIn(second)).toEqual(['a']);
    });

    it('opens for the second when the first has gone', async () => {
      const app = new MemoryApp();
      const description = resumable({}, ANN);
      const first = app.connect(description);
      const second = app.arrive(description);
      first.response.disconnect();
      first.session.send('a');
      first.session.handlerResolved();
      await turns();
      expect(first.session).toMatchObject({ state: 'open', connections: 1 });
      expect(dataIn(second)).toEqual(['a']);
    });

    it('lets nobody in that has left meanwhile', async () => {
      const app = new MemoryApp();
      const description = resumable({}, ANN);
      const first = app.connect(description);
      const second = app.arrive(description);
      second.response.isGone = true;
      first.session.open();
      expect(first.session.connections).toBe(1);
    });
  });

  describe('while nobody is attached', () => {
    it.each<[CloseReason, RouteOptions, SessionDescription, number, string[]]>([
      ['timeout', { timeoutMs: 10_000, resume: { graceMs: 60_000 } }, {}, 10_100, ['timeout']],
      ['idle-timeout', { idleTimeoutMs: 10_000, resume: { graceMs: 60_000 } }, {}, 10_100, ['timeout']],
      ['unauthorized', { resume: { graceMs: 60_000 } }, { authorizedUntil: Infinity }, 10_200, []],
      ['client-disconnect', { resume: { graceMs: 10_000 } }, {}, 10_100, []],
    ])('ends as %s when it is time, with its hooks once', async (reason, options, more, ms, hooks) => {
      const app = new MemoryApp({}, () => 0);
      const until = more.authorizedUntil === undefined ? {} : { authorizedUntil: Date.now() + 10_000 };
      const { session, log } = await detached(app, options, { ...more, ...until });
      app.clock.advance(ms - 1_000);
      expect(session.state).toBe('detached');
      app.clock.advance(1_000);
      await turns();
      expect(session).toMatchObject({ state: 'closed', closeReason: reason });
      expect(log).toEqual(['settled', 'open', ...hooks, `completion ${reason}`]);
      expect(app.registry.wheel.size).toBe(0);
      app.clock.advance(100_000);
      expect(log.filter((line) => line.startsWith('completion'))).toHaveLength(1);
    });

    it('is asked whether it may go on, and ends when not', async () => {
      const app = new MemoryApp();
      let answer = true;
      const authorization = { revalidate: () => answer, intervalMs: 5_000 };
      const { session } = await detached(app, { authorization });
      app.clock.advance(5_100);
      await turns();
      expect(session.state).toBe('detached');
      answer = false;
      app.clock.advance(5_100);
      await turns();
      expect(session).toMatchObject({ state: 'closed', closeReason: 'unauthorized' });
    });

    it('ends by the cleanup job when its own alarm has missed the end of its grace', async () => {
      const app = new MemoryApp();
      const { session } = await detached(app, { resume: { graceMs: 10_000 } });
      jest.spyOn(session, 'onAlarm').mockReturnValueOnce(Infinity);
      app.clock.advance(11_000);
      expect(session.state).toBe('detached');
      expect(new Cleanup(app.registry).run()).toMatchObject({ ended: { 'client-disconnect': 1 } });
      expect(session.state).toBe('closed');
    });

    it('is left alone by the cleanup job within its grace', async () => {
      const app = new MemoryApp();
      const { session } = await detached(app);
      expect(new Cleanup(app.registry).run()).toMatchObject({ examined: 1, ended: {} });
      expect(session.state).toBe('detached');
    });

    it('starts its grace anew each time', async () => {
      const app = new MemoryApp();
      const client = await detached(app, { resume: { graceMs: 10_000 } });
      app.clock.advance(9_000);
      const again = client.back();
      app.clock.advance(60_000);
      expect(client.session.state).toBe('open');
      again.response.disconnect();
      app.clock.advance(9_000);
      expect(client.session.state).toBe('detached');
      app.clock.advance(1_100);
      expect(client.session.state).toBe('closed');
    });

    it('is ended by a shutdown at once, and a client that comes to the next process starts anew', async () => {
      const app = new MemoryApp();
      const { session, log, description } = await detached(app);
      const id = `${'x'.repeat(22)}:1`;
      const draining = new Shutdown(app.registry).drain();
      expect(session).toMatchObject({ state: 'closed', closeReason: 'shutdown' });
      await draining;
      expect(log).toEqual(['settled', 'open', 'completion shutdown']);
      const next = new MemoryApp();
      const again = next.arrive(description, id);
      again.session!.open();
      await turns();
      expect(dataIn(again)).toEqual(['reset {"reason":"unknown"}']);
    });

    it('has the rest of finishMs to end by itself', async () => {
      const app = new MemoryApp();
      const { session } = await detached(app, {}, {});
      const other = await detached(app, { shutdown: { finishMs: 5_000 } });
      const draining = new Shutdown(app.registry).drain();
      expect(session.state).toBe('closed');
      expect(other.session.state).toBe('detached');
      other.session.complete();
      await draining;
      expect(other.session.closeReason).toBe('complete');
    });

    it('is evicted as any other, and its client is stopped', async () => {
      const app = new MemoryApp();
      const client = await detached(app, {}, ANN);
      client.session.send('missed');
      client.session.end('evicted');
      const again = client.back();
      expect(again.answer).toBe('rest');
      await turns();
      expect(dataIn(again)).toEqual(['missed']);
      expect(client.back(idIn(again)).answer).toBe('nothing');
    });
  });

  describe('to which a client comes back', () => {
    it('is authorised for as long as that client is', async () => {
      const app = new MemoryApp({}, () => 0);
      const now = Date.now();
      const client = await detached(app, {}, { authorizedUntil: now + 20_000 });
      app.arrive({ ...client.description, authorizedUntil: now + 60_000, response: new MemoryResponse() }, idIn(client));
      app.clock.advance(30_000);
      expect(client.session.state).toBe('open');
      expect(client.session.expiresAt).toBeLessThanOrEqual(now + 60_100);
      app.clock.advance(31_000);
      await turns();
      expect(client.session.closeReason).toBe('unauthorized');
    });

    it('is left as it was when the headers cannot be sent, and the next one gets in', async () => {
      const app = new MemoryApp();
      const client = await detached(app);
      const response = new MemoryResponse();
      jest.spyOn(response, 'open').mockImplementation(() => {
        throw new Error('header');
      });
      expect(() => client.back(undefined, response)).toThrow('header');
      expect(client.session).toMatchObject({ state: 'detached', connections: 0 });
      expect(response.isDestroyed).toBe(false);
      client.session.send('missed');
      const again = client.back();
      await turns();
      expect(dataIn(again)).toEqual(['missed']);
    });

    it('may be ended by who hears of it', async () => {
      const app = new MemoryApp();
      const client = await detached(app);
      client.session.send('missed');
      app.registry.events$.subscribe(({ type, session }) => {
        if (type === 'attach') session.complete();
      });
      const again = client.back();
      await turns();
      const [token] = idIn(client).split(':') as [string];
      expect(again.response).toMatchObject({
        isEnded: true,
        isDestroyed: false,
        received: `id: ${token}:1\ndata: missed\nid: ${token}:2\n\n`,
      });
      expect(client.log).toEqual(['settled', 'open', 'completion complete']);
    });
  });

  it.each<CloseReason>(['shutdown', 'unauthorized', 'complete', 'cancelled', 'evicted', 'timeout'])(
    'writes what waits before it ends as %s, also when a client then starts anew',
    async (reason) => {
      const app = new MemoryApp();
      const client = await begun(app, { endEvent: { type: 'end' } });
      client.session.send('last');
      client.session.end(reason);
      await turns();
      expect(dataIn(client)).toEqual(['first', 'last', `end {"reason":"${reason}"}`]);
      expect(client.session.closeReason).toBe(reason);
    },
  );

  it('writes what waits before it lets its clients start anew', async () => {
    const app = new MemoryApp();
    const { bytes } = app.registry.directory.held;
    const client = await begun(app);
    client.session.send('last');
    client.session.close({ reconnect: true });
    await turns();
    expect(dataIn(client)).toEqual(['first', 'last']);
    expect(app.registry.directory.held).toEqual({ ended: 1, bytes });
  });

  it('ends once when the response fails at its last write', async () => {
    const app = new MemoryApp();
    const response = new FailingResponse();
    const client = await begun(app, { endEvent: { type: 'end' } }, { response });
    response.isFailing = true;
    client.session.complete();
    await turns();
    expect(client.log).toEqual(['settled', 'open', 'completion complete']);
    expect(client.session.state).toBe('closed');
  });

  it('is over for whoever sends: nothing goes into the log of an ended one', async () => {
    const app = new MemoryApp();
    const client = await detached(app);
    client.session.complete();
    expect(client.session.send('late')).toBe('closed');
    expect(client.back().answer).toBe('nothing');
  });

  it('with onDisconnect: cancel ends with its last client', async () => {
    const app = new MemoryApp();
    const { bytes } = app.registry.directory.held;
    const client = await begun(app, { resume: { onDisconnect: 'cancel' } }, ANN);
    const second = client.back();
    client.response.disconnect();
    expect(client.session.state).toBe('open');
    second.response.disconnect();
    expect(client.session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect' });
    expect(app.registry.directory.held).toEqual({ ended: 1, bytes });
  });

  it.each<[string, RouteOptions]>([
    ['events', { resume: { maxEvents: 10 } }],
    ['bytes', { resume: { maxBytes: 100 } }],
  ])(
    'that is sent more %s than its log keeps, before its headers are out, fails: nothing would ever be told of them',
    async (_what, options) => {
      const app = new MemoryApp();
      const client = app.connect(resumable(options));
      const results = Array.from({ length: 12 }, (_, n) => client.session.send(`event ${n}`));
      expect(results.at(-1)).toBe('closed');
      expect(client.session).toMatchObject({ closeReason: 'slow-client', error: { code: 'SLOW_CLIENT' } });
      expect(String(client.session.error)).toMatch(/than resume keeps/);
    },
  );

  it('hears nothing of a client that has left before it was attached', async () => {
    const app = new MemoryApp();
    const client = await begun(app);
    const gone = new MemoryResponse();
    // as when nobody has heard of it yet
    Object.defineProperty(gone, 'isGone', { get: () => false });
    gone.listen = (listener) => listener.onClose(false, undefined);
    client.session.attach(gone, { after: 0, reset: undefined, authorizedUntil: undefined }, () => undefined);
    expect(client.session).toMatchObject({ state: 'open', connections: 1 });
    expect(app.events).toEqual(['open']);
  });

  it('opens once, though the response of its first client fails at its first write and another waits', async () => {
    const app = new MemoryApp();
    const response = new FailingResponse();
    response.isFailing = true;
    const description = { ...ANN, options: { heartbeat: false, resume: {} } } as const;
    const client = app.connect({ ...description, response });
    const second = app.arrive(description);
    client.session.open();
    client.session.send('a');
    await turns();
    expect(client.log.filter((line) => line === 'open')).toEqual(['open']);
    expect(app.registry.totals.opened).toBe(1);
    expect(client.session).toMatchObject({ state: 'open', connections: 1 });
    expect(dataIn(second)).toEqual(['a']);
  });
});
