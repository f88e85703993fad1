import { describe, expect, it } from '@jest/globals';
import type { ResolvedRouteOptions } from '../../../lib/options/options.js';
import { Admission } from '../../../lib/request/admission.js';
import type { HttpExchange } from '../../../lib/request/http-exchange.js';
import { Http2Connections } from '../../../lib/request/http2-connections.js';
import { Shutdown } from '../../../lib/session/shutdown.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

const EXCHANGE = { response: {} } as HttpExchange;

const RESUMABLE = { resume: {} } as const;

function applyFor(app: MemoryApp, limits: Partial<ResolvedRouteOptions['limits']>, principal: string, route = 'GET /test') {
  const { options } = app.connect().session;
  const admission = new Admission(
    app.registry,
    new Shutdown(app.registry),
    new Http2Connections(app.registry.wheel, app.registry.connections.lookUp),
  );
  const merged = { ...options.limits, perPrincipalPolicy: 'evict-oldest' as const, ...limits };
  return admission.admit({ exchange: EXCHANGE, options: { ...options, limits: merged }, principal, route });
}

describe('eviction of the oldest', () => {
  it("ends the principal's oldest session as evicted, and lets the request in", async () => {
    const app = new MemoryApp();
    const [oldest, newer] = [app.open({ principal: 'ann', options: RESUMABLE }), app.open({ principal: 'ann', options: RESUMABLE })];
    const other = app.open({ principal: 'bob' });
    expect(applyFor(app, { maxPerPrincipal: { process: 2, route: false } }, 'ann')).toBeUndefined();
    await turns();
    expect(oldest.session).toMatchObject({ state: 'closed', closeReason: 'evicted' });
    expect([newer.session.state, other.session.state]).toEqual(['open', 'open']);
  });

  it('spares those whose clients could not be told to stop: they would come back and evict in turn', async () => {
    const app = new MemoryApp();
    const [plain, resumable] = [app.open({ principal: 'ann' }), app.open({ principal: 'ann', options: RESUMABLE })];
    expect(applyFor(app, { maxPerPrincipal: { process: 2, route: false } }, 'ann')).toBeUndefined();
    expect([plain.session.closeReason, resumable.session.closeReason]).toEqual([undefined, 'evicted']);
    await turns();
    app.open({ principal: 'ann' });
    expect(applyFor(app, { maxPerPrincipal: { process: 2, route: false } }, 'ann')).toBe('principal');
    expect(plain.session.state).toBe('open');
  });

  it('ends the oldest of the route when that is full', async () => {
    const app = new MemoryApp();
    const elsewhere = app.open({ principal: 'ann', route: 'GET /other' });
    const here = app.open({ principal: 'ann', route: 'GET /test', options: RESUMABLE });
    expect(applyFor(app, { maxPerPrincipal: { process: false, route: 1 } }, 'ann')).toBeUndefined();
    await turns();
    expect([elsewhere.session.closeReason, here.session.closeReason]).toEqual([undefined, 'evicted']);
  });

  it('ends nobody when one of them is closing, which makes room by itself', async () => {
    const app = new MemoryApp();
    const closing = app.open({ principal: 'ann' });
    const open = app.open({ principal: 'ann' });
    closing.response.pause();
    closing.session.send('a');
    await turns();
    closing.session.complete();
    expect(closing.session.state).toBe('closing');
    expect(applyFor(app, { maxPerPrincipal: { process: 2, route: false } }, 'ann')).toBeUndefined();
    await turns();
    expect(open.session.state).toBe('open');
  });

  it('does not help against a limit of the process', () => {
    const app = new MemoryApp();
    const { session } = app.open({ principal: 'ann' });
    const limits = { maxConnections: { process: 1, route: false as const }, maxPerPrincipal: { process: 1, route: false as const } };
    expect(applyFor(app, limits, 'ann')).toBe('connections');
    expect(session.state).toBe('open');
  });
});
