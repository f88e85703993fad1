import { afterEach, describe, expect, it } from '@jest/globals';
import { heldBytes } from '../../../lib/connection/held-bytes.js';
import { SseEvent, sseEvent } from '../../../lib/event/sse-event.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

const ROUTE = { retryMs: false, heartbeat: false, timeoutMs: false, buffer: { maxBytes: 1_000_000 } } as const;

describe('what waits in the whole process', () => {
  const apps: MemoryApp[] = [];
  // what waits is counted in the process, and so for all tests
  afterEach(() => {
    for (const app of apps.splice(0)) for (const session of [...app.registry, ...app.registry]) session.cut('shutdown');
    expect(heldBytes.total).toBe(0);
  });

  function crowd(count: number, maxTotalBytes: number) {
    const app = new MemoryApp({ maxTotalBytes });
    apps.push(app);
    const clients = Array.from({ length: count }, () => app.open({ options: ROUTE }));
    return { app, clients };
  }

  it('is bounded: the client for which most waits is let go of, and the others lose nothing', async () => {
    const { app, clients } = crowd(10, 100_000);
    for (const { response } of clients) response.pause();
    // 9 x 5,000 and one that grows
    for (const { session } of clients) session.send('x'.repeat(5_000));
    await turns();
    const [greedy] = clients;
    while (greedy!.session.state === 'open') {
      greedy!.session.send('x'.repeat(500));
      await turns(1);
    }
    expect(greedy!.log.slice(-2)).toEqual([expect.stringContaining('maxTotalBytes'), 'completion slow-client']);
    expect(clients.slice(1).map(({ session }) => session.state)).toEqual(new Array(9).fill('open'));
    const waiting = [...app.registry].reduce((sum, session) => sum + session.pendingBytes, 0);
    expect(waiting).toBeLessThanOrEqual(100_000);
    for (const { response } of clients) response.resume();
    await turns();
    for (const { response } of clients.slice(1)) expect(response.received).toHaveLength(5_000 + 'data: \n\n'.length);
  });

  it('never exceeds the limit: in the outboxes not even in one turn, with what Node holds after each turn (but for 1/64)', async () => {
    const { app, clients } = crowd(50, 64_000);
    for (const { response } of clients) response.pause();
    let most = 0;
    for (let n = 0; n < 20_000; n++) {
      clients[(n * n) % 50]!.session.send('x'.repeat(92));
      most = Math.max(most, heldBytes.total);
      if (n % 1_000 !== 999) continue;
      await turns(2);
      expect([...app.registry].reduce((sum, session) => sum + session.pendingBytes, 0)).toBeLessThanOrEqual(65_000 + 100);
    }
    expect(most).toBeGreaterThan(50_000);
    expect(most).toBeLessThanOrEqual(65_000 + 100);
    expect(app.registry.size).toBeLessThan(50);
    expect(app.registry.totals.endedByReason['slow-client']).toBe(50 - app.registry.size);
  });

  it('lets everybody live who reads, however much they are sent', async () => {
    const { app, clients } = crowd(5, 10_000);
    for (let n = 0; n < 1_000; n++) {
      for (const { session } of clients) session.send('x'.repeat(92));
      await turns(1);
    }
    expect(app.registry.size).toBe(5);
    expect(clients.map(({ session }) => session.eventsSent)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000]);
  });

  it('counts an event once, however many wait for it: a large broadcast is no flood, and ends nobody', async () => {
    const { app, clients } = crowd(50, 1_000_000);
    const event = SseEvent.encoded(sseEvent({ data: 'x'.repeat(500_000) }));
    for (const { response } of clients) response.pause();
    for (const { session } of clients) session.deliver(event);
    expect(heldBytes.total).toBe(event.byteLength);
    for (const { response } of clients) response.resume();
    for (let n = 0; n < 40; n++) await turns(1);
    expect(app.registry.size).toBe(50);
    expect(clients.map(({ response }) => response.received.length)).toEqual(clients.map(() => event.byteLength));
    expect(heldBytes.total).toBe(0);
  });

  it('is taken from those that do not read before those that do', async () => {
    const { clients } = crowd(3, 350_000);
    const [stuck, ...reading] = clients;
    stuck!.response.pause();
    stuck!.session.send('x'.repeat(100_000));
    await turns();
    // all in one turn: they read, and have more waiting than the one that does not
    for (const { session } of reading) session.send('x'.repeat(150_000));
    await turns(20);
    expect(stuck!.session.closeReason).toBe('slow-client');
    for (const { session, response } of reading) {
      expect(session.state).toBe('open');
      expect(response.received).toHaveLength(150_000 + 'data: \n\n'.length);
    }
  });

  it('ends a session that is still connecting with a status, through the filters', async () => {
    const { app } = crowd(0, 10_000);
    const { session, response, log } = app.connect({ options: ROUTE });
    for (let n = 0; n < 5; n++) session.send(`${n}`.repeat(4_000));
    expect(session).toMatchObject({ state: 'closed', closeReason: 'slow-client' });
    expect(log).toContain('settled');
    expect([response.isOpen, response.isDestroyed]).toEqual([false, false]);
  });

  it('is not taken from those for whom nothing waits, when another application of the process holds it', async () => {
    const other = crowd(1, 1_000_000);
    other.clients[0]!.response.pause();
    other.clients[0]!.session.send('x'.repeat(500_000));
    const { app, clients } = crowd(3, 10_000);
    clients[0]!.session.send('x'.repeat(1_000));
    await turns();
    expect(app.registry.size).toBe(3);
    expect(clients.map(({ response }) => response.received.length)).toEqual([1_008, 0, 0]);
    expect(other.app.registry.size).toBe(1);
  });
});
