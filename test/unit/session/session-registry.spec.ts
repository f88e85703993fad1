import { describe, expect, it, jest } from '@jest/globals';
import { filter, repeat, take } from 'rxjs';
import { MemoryApp, turns } from '../../support/memory-session.js';

describe('SessionRegistry', () => {
  it('knows its sessions by id, principal and route, until they end', async () => {
    const app = new MemoryApp();
    const ann = app.open({ principal: 'ann', route: 'GET /a' });
    const anns = app.open({ principal: 'ann', route: 'GET /b' });
    const nobody = app.open({ route: 'GET /a' });
    const known = app.registry;
    expect(known.size).toBe(3);
    expect([...known.ofPrincipal('ann')]).toEqual([ann.session, anns.session]);
    expect([...known.ofPrincipal('bob')]).toEqual([]);
    expect([known.countOfRoute('GET /a'), known.countOfRoute('GET /b'), known.countOfRoute('GET /c')]).toEqual([2, 1, 0]);

    for (const { session } of [ann, anns, nobody]) session.close();
    await turns();
    expect(known.size).toBe(0);
    expect(known.get(ann.session.id)).toBeUndefined();
    expect([...known.ofPrincipal('ann')]).toEqual([]);
    expect(known.countOfRoute('GET /a')).toBe(0);
  });

  it('may be subscribed to again from inside an event, which the new subscriber does not get', () => {
    const app = new MemoryApp();
    let opened = 0;
    app.registry.events$
      .pipe(
        filter(({ type }) => type === 'open'),
        take(1),
        repeat(),
      )
      .subscribe(() => opened++);
    app.open();
    app.open();
    expect(opened).toBe(2);
  });

  it('completes for those who come after the application has stopped, too', () => {
    const { registry } = new MemoryApp();
    const complete = jest.fn();
    registry.dispose();
    registry.events$.subscribe({ complete });
    expect(complete).toHaveBeenCalledTimes(1);
  });

  it('tells of what happens, in order, and once', async () => {
    const app = new MemoryApp();
    const events: unknown[] = [];
    app.registry.events$.subscribe((event) => events.push(event));
    const { session } = app.open();
    const error = new Error('x');
    session.fail(error);
    app.registry.rejected('why');
    await turns();
    expect(events).toEqual([
      { type: 'open', session },
      { type: 'rejected', error: 'why' },
      { type: 'error', session, error },
      { type: 'completion', session, reason: 'error' },
    ]);
  });

  it('bears a subscriber that unsubscribes while it is told, and completes all when the application has stopped', async () => {
    const app = new MemoryApp();
    const complete = jest.fn();
    const once = app.registry.events$.subscribe(() => once.unsubscribe());
    app.registry.events$.subscribe({ complete });
    app.open();
    app.registry.dispose();
    expect(complete).toHaveBeenCalledTimes(1);
  });

  it('keeps the counts of sessions that have ended', async () => {
    const app = new MemoryApp();
    const { session, response } = app.open();
    session.send('a');
    session.complete();
    app.connect().session.fail(new Error('x'));
    await turns();
    expect(app.registry.totals).toMatchObject({
      opened: 1,
      eventsSent: 1,
      bytesSent: Buffer.byteLength(response.received),
      endedByReason: { complete: 1, error: 1, timeout: 0 },
    });
  });

  it('says when it is empty, at once if it is', async () => {
    const app = new MemoryApp();
    await app.registry.empty();
    const { session } = app.open();
    const empty = jest.fn();
    void app.registry.empty().then(empty);
    await turns();
    expect(empty).not.toHaveBeenCalled();
    session.close();
    await turns();
    expect(empty).toHaveBeenCalledTimes(1);
  });
});
