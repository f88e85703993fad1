import { expect, it } from '@jest/globals';
import type { SseSession } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { NEVER, concat, of } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { expectEnd, startLife, turns } from '../support/life.js';

const forever = () => concat(of('first'), NEVER);
const END = { endEvent: { type: 'end' } } as const;
const RETRY = 'retry: 2000\n';

describeEachAdapter('Authorization', ({ startApp }) => {
  it('that expires ends the session as unauthorized, when its time is up and not before', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, forever, {
      clock,
      route: { ...END, heartbeat: false, authorization: { expiresAt: () => Date.now() + 60_000 } },
    });
    const client = await life.get();
    await client.waitFor('first');
    const [session] = life.sessions as [SseSession];
    expect(session.expiresAt).toBeLessThanOrEqual(Date.now() + 60_000);
    clock.advance(59_900);
    await turns();
    expect(session.state).toBe('open');
    clock.advance(200);
    expect((await client.whole()).body).toBe(`${RETRY}data: first\n\nevent: end\ndata: {"reason":"unauthorized"}\n\n`);
    await expectEnd(life, 'unauthorized');
  });

  it('that has expired while the handler is awaited answers 401', async () => {
    const clock = new FakeClock();
    const life = await startLife(startApp, () => new Promise<never>(() => undefined), {
      clock,
      route: { authorization: { expiresAt: () => Date.now() + 1_000 } },
    });
    const client = await life.get();
    await eventually(() => life.sessions.length === 1);
    clock.advance(1_100);
    expect(await client.whole()).toMatchObject({ status: 401 });
    await expectEnd(life, 'unauthorized', { opened: false });
  });

  it.each([-Infinity, 0, -1])('that has expired before the request (%p ms) answers 401, and no handler runs', async (ms) => {
    const life = await startLife(startApp, forever, { route: { authorization: { expiresAt: () => Date.now() + ms } } });
    expect(await (await life.get()).whole()).toMatchObject({ status: 401 });
    expect(life.sessions).toEqual([]);
    expect(life.manager.stats().rejected).toBe(1);
  });

  it('that never expires leaves the lifetime alone', async () => {
    const life = await startLife(startApp, forever, { route: { timeoutMs: 5_000, authorization: { expiresAt: () => undefined } } });
    await (await life.get()).waitFor('first');
    expect(life.sessions[0]!.expiresAt).toBeGreaterThan(Date.now() + 4_000);
    expect(life.sessions[0]!.expiresAt).toBeLessThanOrEqual(Date.now() + 5_000);
  });

  it.each<[string, unknown]>([
    ['NaN', NaN],
    ["a JWT's exp, in seconds", Math.round(Date.now() / 1_000) + 3_600],
    ['a text', '2030-01-01'],
    ['a promise', Promise.resolve(5)],
    ['a Date', new Date()],
  ])('whose expiry is %s is a 500 that says so', async (_what, value) => {
    const life = await startLife(startApp, forever, { route: { authorization: { expiresAt: () => value as number } } });
    expect(await (await life.get()).whole()).toMatchObject({ status: 500 });
    expect(life.logged.join('\n')).toContain('"authorization.expiresAt" of GET /life gave');
    expect(life.sessions).toEqual([]);
  });

  it.each<[string, () => unknown, boolean]>([
    ['no', () => false, false],
    ['no, later', async () => false, false],
    ['anything but true', () => ({ id: 1 }), false],
    [
      'nothing, as it throws',
      () => {
        throw new Error('the directory is away');
      },
      true,
    ],
    ['nothing, as it rejects', () => Promise.reject(new Error('the directory is away')), true],
  ])('is asked for every intervalMs, and ends when the answer is %s', async (_what, answer, isLogged) => {
    const clock = new FakeClock();
    const asked: number[] = [];
    const life = await startLife(startApp, forever, {
      clock,
      route: {
        authorization: {
          intervalMs: 10_000,
          revalidate: (session) => {
            asked.push(clock.now());
            expect(session).toBe(life.sessions[0]);
            return (asked.length < 3 ? true : answer()) as boolean;
          },
        },
      },
    });
    await (await life.get()).waitFor('first');
    for (let n = 0; n < 35; n++) {
      clock.advance(1_000);
      await turns(2);
    }
    expect(asked).toHaveLength(3);
    expect(asked[2]! - asked[0]!).toBeGreaterThanOrEqual(20_000);
    expect(asked[2]! - asked[0]!).toBeLessThanOrEqual(20_200);
    await expectEnd(life, 'unauthorized');
    expect(life.logged.some((line) => line.includes('authorization.revalidate of session'))).toBe(isLogged);
  });

  it('that gets no answer within intervalMs ends, and a late yes changes nothing', async () => {
    const clock = new FakeClock();
    let answer = (_yes: boolean): void => undefined;
    const life = await startLife(startApp, forever, {
      clock,
      route: { heartbeat: false, authorization: { intervalMs: 10_000, revalidate: () => new Promise((resolve) => (answer = resolve)) } },
    });
    await (await life.get()).waitFor('first');
    clock.advance(10_050);
    await turns();
    clock.advance(9_900);
    await turns();
    expect(life.sessions[0]).toMatchObject({ state: 'open' });
    clock.advance(150);
    await eventually(() => expect(life.ends).toHaveLength(1));
    answer(true);
    await expectEnd(life, 'unauthorized');
  });

  it('is not asked for any more after the end', async () => {
    const clock = new FakeClock();
    let asked = 0;
    const life = await startLife(startApp, forever, {
      clock,
      route: { authorization: { intervalMs: 10_000, revalidate: () => ++asked > 0 } },
    });
    const client = await life.get();
    await client.waitFor('first');
    await client.fin();
    await expectEnd(life, 'client-disconnect');
    clock.advance(60_000);
    expect(asked).toBe(0);
    expect(clock.pending).toBe(0);
  });
});
