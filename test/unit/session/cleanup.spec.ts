import { describe, expect, it } from '@jest/globals';
import { Cleanup } from '../../../lib/session/cleanup.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { MemoryApp, type SessionDescription, turns } from '../../support/memory-session.js';

/** An application whose timers never ring: the cleanup is all there is. */
function createDeafApp() {
  const app = new MemoryApp({ timeoutMs: false });
  app.clock.schedule = () => () => undefined;
  return { app, cleanup: new Cleanup(app.registry) };
}

describe('the cleanup', () => {
  it('leaves live sessions alone, whatever their state', async () => {
    const { app, cleanup } = createDeafApp();
    const clients = [app.connect(), app.open(), app.open({ response: new MemoryResponse(1) })];
    clients[2]?.response.pause();
    clients[2]?.session.send('waits');
    await turns();
    clients[2]?.session.close();
    app.clock.advance(20_000);
    expect(cleanup.run()).toMatchObject({ examined: 3, ended: {} });
    expect(clients.map(({ session }) => session.state)).toEqual(['connecting', 'open', 'closing']);
  });

  const stale: [string, SessionDescription, (client: ReturnType<MemoryApp['open']>) => void][] = [
    ['timeout', { options: { timeoutMs: 10_000 } }, () => undefined],
    ['idle-timeout', { options: { idleTimeoutMs: 10_000 } }, () => undefined],
    ['client-disconnect', {}, ({ response }) => (response.isGone = true)],
  ];
  it.each(stale)('ends what its timers have missed: %s', async (reason, description, cause) => {
    const { app, cleanup } = createDeafApp();
    const client = app.open(description);
    const live = app.open();
    cause(client);
    await turns();
    app.clock.advance(10_000);
    const report = cleanup.run();
    await turns();
    expect(report).toMatchObject({ examined: 2, ended: { [reason]: 1 } });
    expect(client.session).toMatchObject({ state: 'closed', closeReason: reason });
    expect(client.log.filter((entry) => entry.startsWith('completion'))).toEqual([`completion ${reason}`]);
    expect(live.session.state).toBe('open');
  });

  it('has the kernel asked about a client that does not read, and ends it when that has seen nothing move either', async () => {
    const { app, cleanup } = createDeafApp();
    const { session, response } = app.open({ response: new MemoryResponse(1), options: { buffer: { stallTimeoutMs: 10_000 } } });
    response.pause();
    session.send('waits');
    await turns();
    for (const expected of ['open', 'closed']) {
      app.clock.advance(5_000);
      cleanup.run();
      await turns();
      expect(session.state).toBe(expected);
    }
    expect(session.closeReason).toBe('slow-client');
  });

  it('ends a session that has been connecting for too long', () => {
    const { app, cleanup } = createDeafApp();
    const { session } = app.connect({ options: { timeoutMs: 10_000 } });
    app.clock.advance(10_000);
    expect(cleanup.run().ended).toEqual({ timeout: 1 });
    expect(session.state).toBe('closed');
  });

  it('ends a connecting session whose client is gone', () => {
    const { app, cleanup } = createDeafApp();
    const { response, session } = app.connect();
    response.isGone = true;
    expect(cleanup.run().ended).toEqual({ 'client-disconnect': 1 });
    expect(session.state).toBe('closed');
  });

  it('is not confused by hooks that end other sessions meanwhile', () => {
    const { app, cleanup } = createDeafApp();
    const other = app.connect();
    const first = app.connect({ options: { timeoutMs: 1_000 } });
    first.session.onCompletion(() => other.session.end('shutdown'));
    app.connect();
    app.clock.advance(1_000);
    expect(cleanup.run().ended).toEqual({ timeout: 1 });
    expect(app.registry.size).toBe(1);
  });

  it('keeps its last report, with its time', () => {
    const { cleanup } = createDeafApp();
    expect(cleanup.last).toBeUndefined();
    const report = cleanup.run();
    expect(cleanup.last).toBe(report);
    expect(Math.abs(report.at - Date.now())).toBeLessThan(5_000);
    expect(report.durationMs).toBe(0);
  });

  it('reports hooks that hang', () => {
    const { app, cleanup } = createDeafApp();
    const { session } = app.connect();
    session.onCompletion(() => new Promise(() => undefined));
    session.fail(new Error('x'));
    app.clock.advance(10_000);
    cleanup.run();
    expect(app.logger.warnings).toEqual([expect.stringMatching(/has not settled/)]);
  });
});
