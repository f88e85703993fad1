import { describe, expect, it, jest } from '@jest/globals';
import { createChannelLog } from '../../../lib/channel/channel-log.js';
import { Channels } from '../../../lib/channel/channels.js';
import { sseEvent } from '../../../lib/event/sse-event.js';
import { LocalSessionManager } from '../../../lib/manager/local-session-manager.js';
import { Cleanup } from '../../../lib/session/cleanup.js';
import type { SessionFilter } from '../../../lib/manager/filter.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

const PLAIN = { retryMs: false } as const;

function createManager() {
  const app = new MemoryApp(PLAIN);
  const channels = new Channels(createChannelLog(app.registry.options.channels, () => app.clock.now()));
  return { app, manager: new LocalSessionManager(app.registry, new Cleanup(app.registry), channels) };
}

const INVALID_FILTER = expect.objectContaining({ code: 'INVALID_FILTER' });

describe('looking', () => {
  it('finds sessions by id', async () => {
    const { app, manager } = createManager();
    const { session } = app.open();
    expect(manager.size).toBe(1);
    expect(manager.get(session.id)).toBe(session);
    expect(manager.has(session.id)).toBe(true);
    expect(manager.get('unknown')).toBeUndefined();
    session.close();
    await turns();
    expect(manager.has(session.id)).toBe(false);
    expect(manager.size).toBe(0);
  });

  it('iterates over live sessions, also while they end', () => {
    const { app, manager } = createManager();
    const clients = [app.connect(), app.connect(), app.connect()];
    const seen: string[] = [];
    for (const session of manager) {
      seen.push(session.id);
      clients[1]?.session.end('shutdown');
    }
    expect(seen).toEqual([clients[0]?.session.id, clients[2]?.session.id]);
  });

  it('finds sessions by what they are', () => {
    const { app, manager } = createManager();
    const a = app.open({ principal: 'ann', key: 'k', route: 'GET /a' }).session;
    const b = app.connect({ principal: 'ann', route: 'GET /b' }).session;
    const c = app.open({ route: 'GET /a', key: 'k' }).session;
    expect(manager.find({ principal: 'ann' })).toEqual([a, b]);
    expect(manager.find({ key: 'k' })).toEqual([a, c]);
    expect(manager.find({ route: 'GET /a', state: 'open' })).toEqual([a, c]);
    expect(manager.find({ state: 'connecting' })).toEqual([b]);
    expect(manager.find({ principal: 'ann', key: 'k' })).toEqual([a]);
    expect(manager.find({ principal: 'bob' })).toEqual([]);
  });

  it('refuses a filter that would mean everybody', async () => {
    const { manager } = createManager();
    for (const filter of [{}, { principal: undefined }] as SessionFilter[]) {
      expect(() => manager.find(filter)).toThrow(INVALID_FILTER);
      expect(() => manager.broadcast('a', filter)).toThrow(INVALID_FILTER);
      await expect(manager.cancelAll(filter)).rejects.toEqual(INVALID_FILTER);
    }
  });
});

describe('send', () => {
  it('reaches one session', async () => {
    const { app, manager } = createManager();
    const [one, other] = [app.open(), app.open()];
    expect(manager.send(one.session.id, { data: 'a', type: 't' })).toBe('accepted');
    await turns(1);
    expect(one.response.received).toBe('event: t\ndata: a\n\n');
    expect(other.response.received).toBe('');
  });

  it("is 'closed' for a session that is unknown or has ended, and throws for no event", () => {
    const { app, manager } = createManager();
    const { session } = app.open();
    expect(manager.send('unknown', 'a')).toBe('closed');
    expect(() => manager.send(session.id, undefined as never)).toThrow(expect.objectContaining({ code: 'INVALID_EVENT' }));
    session.close();
    expect(manager.send(session.id, 'a')).toBe('closed');
  });
});

describe('broadcast', () => {
  it('reaches all that match, connecting ones too, and says how many took it', async () => {
    const { app, manager } = createManager();
    const clients = [app.open({ principal: 'ann' }), app.connect({ principal: 'ann' }), app.open({ principal: 'bob' })];
    const closing = app.open({ principal: 'ann', response: new MemoryResponse(1) });
    closing.session.send('rest');
    closing.session.close();
    expect(manager.broadcast('to all')).toBe(3);
    expect(manager.broadcast('to ann', { principal: 'ann' })).toBe(2);
    clients[1]?.session.open();
    await turns();
    expect(clients.map(({ response }) => response.received)).toEqual([
      'data: to all\n\ndata: to ann\n\n',
      'data: to all\n\ndata: to ann\n\n',
      'data: to all\n\n',
    ]);
    expect(closing.response.received).toBe('data: rest\n\n');
  });

  it('counts neither who drops it nor who ends by it', async () => {
    const { app, manager } = createManager();
    const full = (overflow: 'close' | 'drop-oldest') => {
      const { session, response } = app.open({ response: new MemoryResponse(1), options: { buffer: { maxBytes: 70_000, overflow } } });
      response.pause();
      session.send('x'.repeat(130_000));
      return session;
    };
    const [closes, drops] = [full('close'), full('drop-oldest')];
    await turns(1);
    expect(manager.broadcast('y'.repeat(10_000))).toBe(0);
    expect(closes.closeReason).toBe('slow-client');
    expect(drops.eventsDropped).toBe(1);
  });

  it('is encoded once for all who read alike', () => {
    const { app, manager } = createManager();
    const serializer = jest.fn((data: unknown) => JSON.stringify(data));
    for (let i = 0; i < 5; i++) app.open({ options: { serializer } });
    for (let i = 0; i < 5; i++) app.open({ options: { serializer, emit: 'payload' } });
    expect(manager.broadcast({ data: { a: 1 } })).toBe(10);
    expect(serializer).toHaveBeenCalledTimes(2);
  });

  it('is read as each route reads', async () => {
    const { app, manager } = createManager();
    const event = app.open();
    const payload = app.open({ options: { emit: 'payload' } });
    manager.broadcast({ data: 'a' });
    manager.broadcast(sseEvent({ data: 'b', id: 1 }));
    await turns(1);
    expect(event.response.received).toBe('data: a\n\ndata: b\nid: 1\n\n');
    expect(payload.response.received).toBe('data: {"data":"a"}\n\ndata: b\nid: 1\n\n');
  });

  it.each([
    ['an event that is none', undefined, 'INVALID_EVENT'],
    ['what cannot be serialized', { big: 1n }, 'SERIALIZATION_FAILED'],
  ])('refuses %s before anybody has it', async (_, event, code) => {
    const { app, manager } = createManager();
    const tolerant = app.open({ options: { serializer: () => 'anything' } });
    const strict = app.open();
    expect(() => manager.broadcast(event as never)).toThrow(expect.objectContaining({ code }));
    await turns(1);
    expect([tolerant.response.received, strict.response.received]).toEqual(['', '']);
    expect(strict.session.state).toBe('open');
  });

  it('reaches nobody when there is nobody', () => {
    expect(createManager().manager.broadcast('a')).toBe(0);
  });

  it('bears a hook that ends other sessions meanwhile', async () => {
    const { app, manager } = createManager();
    const first = app.connect({ options: { buffer: { maxBytes: 10 } } });
    const second = app.open();
    first.session.send('full');
    first.session.onCompletion(() => second.session.close());
    expect(manager.broadcast('more')).toBe(0);
    await turns();
    expect(second.response.received).not.toContain('more');
  });
});

describe('cancel', () => {
  it('ends a session, and is true the first time only', async () => {
    const { app, manager } = createManager();
    const { session, log } = app.open();
    const cancelling = manager.cancel(session.id);
    expect(session.state).toBe('closing');
    await expect(cancelling).resolves.toBe(true);
    await expect(manager.cancel(session.id)).resolves.toBe(false);
    await expect(manager.cancel('unknown')).resolves.toBe(false);
    await turns();
    await expect(manager.cancel(session.id)).resolves.toBe(false);
    expect(log.at(-1)).toBe('completion cancelled');
  });

  it('ends all that match, and says how many it ended', async () => {
    const { app, manager } = createManager();
    const anns = [app.open({ principal: 'ann', key: 'a' }), app.open({ principal: 'ann', key: 'b' }), app.connect({ principal: 'ann' })];
    const bob = app.open({ principal: 'bob', key: 'a' });
    anns[0]?.session.complete();
    await expect(manager.cancelAll({ principal: 'ann' })).resolves.toBe(2);
    await expect(manager.cancelAll({ principal: 'ann' })).resolves.toBe(0);
    await turns();
    expect(anns.map(({ session }) => session.closeReason)).toEqual(['complete', 'cancelled', 'cancelled']);
    expect(bob.session.state).toBe('open');
    await expect(manager.cancelAll({ principal: 'bob', key: 'a' })).resolves.toBe(1);
  });
});

describe('stats', () => {
  it('are a picture of what is and a count of what was', async () => {
    const { app, manager } = createManager();
    const ended = app.open();
    ended.session.send('a');
    ended.session.complete();
    await turns();
    app.connect();
    const open = app.open({ response: new MemoryResponse(1) });
    open.session.send('b');
    await turns();
    open.response.pause();
    open.session.send('c');
    await turns();
    open.session.send('d');
    app.registry.rejected(new Error('full'));
    manager.stream(['a', 'b']).subscribe();
    await manager.channel('c').publish('e');
    const lastCleanup = manager.cleanup();

    expect(manager.stats()).toEqual({
      sessions: { connecting: 1, open: 1, detached: 0, closing: 0 },
      connections: 2,
      opened: 2,
      deadPeerProbe: { http1: 'tcp-table', http2: 'ping' },
      endedByReason: expect.objectContaining({ complete: 1, error: 0 }) as unknown,
      rejected: 1,
      events: { sent: 3, dropped: 0 },
      bytes: { sent: 27, pending: 18 },
      resume: { ended: 0, bytes: 0 },
      channels: { streams: 1, events: 1, bytes: 9 },
      lastCleanup,
    });
    open.session.close();
    expect(manager.stats().sessions).toEqual({ connecting: 1, open: 0, detached: 0, closing: 1 });
  });

  it('lose nothing when a session ends', async () => {
    const { app, manager } = createManager();
    const { session } = app.open({ options: { buffer: { maxBytes: 20, overflow: 'drop-oldest' } }, response: new MemoryResponse(1) });
    session.send('a');
    await turns();
    const before = manager.stats();
    session.complete();
    await turns();
    expect(manager.stats().events).toEqual(before.events);
    expect(manager.stats().bytes).toEqual({ sent: before.bytes.sent, pending: 0 });
  });

  it('are not changed by what a reader does to them', () => {
    const { manager } = createManager();
    manager.stats().endedByReason.complete = 99;
    expect(manager.stats().endedByReason.complete).toBe(0);
  });
});

it('tells of what happens by events$', async () => {
  const { app, manager } = createManager();
  const seen: string[] = [];
  const done = jest.fn();
  manager.events$.subscribe({ next: ({ type, reason }) => seen.push(reason ?? type), complete: done });
  app.open().session.complete();
  await turns();
  app.registry.dispose();
  expect(seen).toEqual(['open', 'complete']);
  expect(done).toHaveBeenCalledTimes(1);
});
