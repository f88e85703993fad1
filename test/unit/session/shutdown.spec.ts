import { describe, expect, it, jest } from '@jest/globals';
import type { ShutdownOptions } from '../../../lib/options/options.js';
import { Shutdown } from '../../../lib/session/shutdown.js';
import { fakeRandom } from '../../../lib/testing/fake-clock.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

function createApp(shutdown: ShutdownOptions = {}, random = fakeRandom()) {
  const app = new MemoryApp({ retryMs: 1_000, shutdown }, random);
  return { app, shutdown: new Shutdown(app.registry) };
}

/** Starts the drain; `isDone` tells whether it has come to its end. */
function drain(shutdown: Shutdown) {
  const state = { isDone: false };
  void shutdown.drain().then(() => (state.isDone = true));
  return state;
}

describe('refuse', () => {
  it('ends the sessions that are connecting, and leaves the others', () => {
    const { app, shutdown } = createApp();
    const connecting = app.connect();
    const open = app.open();
    shutdown.refuse();
    shutdown.refuse();
    expect(shutdown.isRefusing).toBe(true);
    expect(connecting.log).toEqual(['completion shutdown', 'settled']);
    expect(open.session.state).toBe('open');
  });
});

describe('drain', () => {
  it('is done at once when there is nobody', async () => {
    const { app, shutdown } = createApp();
    await shutdown.drain();
    expect(shutdown.isRefusing).toBe(true);
    expect(app.clock.pending).toBe(0);
  });

  it('tells each open session when to come back, ends it, and waits until all is written', async () => {
    const { app, shutdown } = createApp({ retryJitterMs: 5_000 }, fakeRandom(0.5));
    const { session, response, log } = app.open({ options: { endEvent: { type: 'end' }, retryMs: 2_000 } });
    session.send('last');
    const state = drain(shutdown);
    await turns();
    expect(response.received).toBe('retry: 2500\ndata: last\n\nretry: 4500\nevent: end\ndata: {"reason":"shutdown"}\n\n');
    expect(log).toEqual(['settled', 'open', 'completion shutdown']);
    expect(state.isDone).toBe(true);
    expect(app.clock.pending).toBe(0);
  });

  it('gives sessions finishMs, each route its own, to end by themselves', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 10_000, finishMs: 0 });
    const notification = app.open();
    const answer = app.open({ options: { shutdown: { finishMs: 8_000 } } });
    const quick = app.open({ options: { shutdown: { finishMs: 8_000 } } });
    const state = drain(shutdown);
    await turns();
    expect(notification.session.closeReason).toBe('shutdown');
    expect(answer.session.state).toBe('open');
    expect(answer.session.send('still answering')).toBe('accepted');

    app.clock.advance(4_000);
    quick.session.complete();
    await turns();
    expect(quick.session.closeReason).toBe('complete');
    app.clock.advance(3_999);
    expect(answer.session.state).toBe('open');
    app.clock.advance(1);
    await turns();
    expect(answer.session.closeReason).toBe('shutdown');
    expect(state.isDone).toBe(true);
    expect(app.clock.pending).toBe(0);
  });

  it('is done as soon as all have ended, and calls its timers off', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 10_000, finishMs: 8_000 });
    const { session } = app.open();
    const state = drain(shutdown);
    await turns();
    expect(state.isDone).toBe(false);
    session.complete();
    await turns();
    expect(state.isDone).toBe(true);
    expect(app.clock.pending).toBe(0);
  });

  it('cuts at timeoutMs what does not read', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 10_000 });
    const { session, response, log } = app.open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    await turns();
    const state = drain(shutdown);
    app.clock.advance(9_999);
    await turns();
    expect(response.isDestroyed).toBe(false);
    app.clock.advance(51);
    await turns();
    expect(response.isDestroyed).toBe(true);
    expect(log.at(-1)).toBe('completion shutdown');
    expect(state.isDone).toBe(true);
  });

  it('cuts at timeoutMs also a session that was given all of it to finish', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 10_000, finishMs: 10_000 });
    const { session, response } = app.open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    const state = drain(shutdown);
    await turns();
    app.clock.advance(10_000);
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: 'shutdown' });
    expect(state.isDone).toBe(true);
  });

  it('leaves no more time than the shutdown has to a session that ends meanwhile', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 5_000, finishMs: 4_000 });
    const { session, response } = app.open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    await turns();
    drain(shutdown);
    app.clock.advance(3_000);
    session.complete();
    app.clock.advance(2_050);
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: 'slow-client' });
  });

  it('waits for asynchronous hooks, but not beyond its deadline', async () => {
    const { app, shutdown } = createApp({ timeoutMs: 5_000 });
    let release = (): void => undefined;
    app.open({ hooks: { onCompletion: () => new Promise<void>((resolve) => (release = resolve)) } });
    const state = drain(shutdown);
    await turns();
    app.clock.advance(4_000);
    await turns();
    expect(state.isDone).toBe(false);
    release();
    await turns();
    expect(state.isDone).toBe(true);
    expect(app.logger.warnings).toEqual([]);

    const hanging = createApp({ timeoutMs: 5_000 });
    hanging.app.open({ hooks: { onCompletion: () => new Promise(() => undefined) } });
    const hung = drain(hanging.shutdown);
    await turns();
    hanging.app.clock.advance(4_999);
    await turns();
    expect(hung.isDone).toBe(false);
    hanging.app.clock.advance(1);
    await turns();
    expect(hung.isDone).toBe(true);
    expect(hanging.app.logger.warnings).toEqual([expect.stringMatching(/has not settled/)]);
  });

  it('names the producers that have not stopped, as they may be what keeps the process', async () => {
    const { app, shutdown } = createApp();
    const stuck = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<unknown>>(() => undefined) }) };
    const { session } = app.stream(stuck as AsyncIterable<unknown>);
    await turns();
    await shutdown.drain();
    expect(app.logger.warnings).toEqual([expect.stringContaining(`The producer of session ${session.id} (GET /test) still runs`)]);
  });

  it('happens once, however often it is asked for', () => {
    const { app, shutdown } = createApp();
    app.open();
    expect(shutdown.drain()).toBe(shutdown.drain());
  });
});

describe('the return of the clients', () => {
  it('is spread over retryJitterMs, on top of retryMs', () => {
    const at = (random: number) => createApp({ retryJitterMs: 5_000 }, fakeRandom(random)).shutdown.returnMs(2_000);
    expect([at(0), at(0.5), at(0.9999)]).toEqual([2_000, 4_500, 7_000]);
    expect(createApp({ retryJitterMs: 0 }, fakeRandom(0.5)).shutdown.returnMs(2_000)).toBe(2_000);
  });

  it('begins at once when a route has no retry of its own', () => {
    expect(createApp({}, fakeRandom(0.5)).shutdown.returnMs(false)).toBe(2_500);
  });

  it('is at most 400 in a second, however many there are', async () => {
    const clients = 4_000;
    const random = fakeRandom(...Array.from({ length: clients }, (_, i) => i / clients));
    const { app, shutdown } = createApp({ retryJitterMs: 1_000 }, random);
    const open = Array.from({ length: clients }, () => app.open({ options: { retryMs: false, timeoutMs: false } }));
    const drained = jest.fn();
    void shutdown.drain().then(drained);
    await turns();
    expect(drained).toHaveBeenCalled();
    const perSecond = new Map<number, number>();
    for (const { response } of open) {
      const second = Math.floor(Number(/^retry: (\d+)\n/.exec(response.received)?.[1]) / 1_000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    expect(perSecond.size).toBe(10);
    expect(Math.max(...perSecond.values())).toBeLessThanOrEqual(400);
  });
});
