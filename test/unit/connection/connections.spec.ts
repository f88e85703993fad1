import { describe, expect, it } from '@jest/globals';
import { MemoryApp, turns } from '../../support/memory-session.js';

const ROUTE = { retryMs: false, heartbeat: false, timeoutMs: false, buffer: { maxBytes: 1_000_000 } } as const;

describe('what waits in the whole process', () => {
  function crowd(count: number, maxTotalBytes: number) {
    const app = new MemoryApp({ maxTotalBytes });
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

  it('never exceeds the limit by more than 1/64, also in one turn', () => {
    const { app, clients } = crowd(50, 64_000);
    for (const { response } of clients) response.pause();
    let most = 0;
    for (let n = 0; n < 20_000; n++) {
      clients[(n * n) % 50]!.session.send('x'.repeat(92));
      if (n % 10 === 0)
        most = Math.max(
          most,
          [...app.registry].reduce((sum, session) => sum + session.pendingBytes, 0),
        );
    }
    expect(most).toBeGreaterThan(60_000);
    expect(most).toBeLessThanOrEqual(64_000 + 1_000 + 100);
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
});
