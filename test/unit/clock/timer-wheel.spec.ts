import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../lib/clock/clock.js';
import { type Alarm, TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { CallbackAlarm } from '../../support/alarm.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';

const TURN_MS = 256 * 50;

/** An alarm that notes when it rings, and asks for `again()` as its next deadline. */
function recorder(again: (now: number) => number = () => Infinity): { alarm: Alarm; rings: number[] } {
  const rings: number[] = [];
  const alarm = new CallbackAlarm({
    onAlarm: (now) => {
      rings.push(now);
      return again(now);
    },
  });
  return { alarm, rings };
}

function createWheel(): { clock: FakeClock; wheel: TimerWheel } {
  const clock = new FakeClock();
  return { clock, wheel: new TimerWheel(clock) };
}

describe('TimerWheel', () => {
  it.each([0, 1, 49, 50, 51, 99, 100, 1_234, TURN_MS - 1, TURN_MS, TURN_MS + 1, 3 * TURN_MS + 7, 86_400_000])(
    'rings an alarm for %d ms never early and at most 50 ms late',
    (delayMs) => {
      const { clock, wheel } = createWheel();
      clock.advance(123);
      const { alarm, rings } = recorder();
      const deadline = clock.now() + delayMs;
      wheel.set(alarm, deadline);

      clock.advance(delayMs - 1);
      expect(rings).toEqual([]);
      clock.advance(51);

      expect(rings).toHaveLength(1);
      expect(rings[0]).toBeGreaterThanOrEqual(deadline);
      expect(rings[0]).toBeLessThanOrEqual(deadline + 50);
    },
  );

  it('rings an alarm whose deadline has passed with the next slot', () => {
    const { clock, wheel } = createWheel();
    clock.advance(10_000);
    const { alarm, rings } = recorder();
    wheel.set(alarm, 9_990);
    clock.advance(50);
    expect(rings).toHaveLength(1);
  });

  it('keeps time after it has been idle for longer than one turn', () => {
    const { clock, wheel } = createWheel();
    clock.advance(5 * TURN_MS + 20);
    const { alarm, rings } = recorder();
    wheel.set(alarm, clock.now() + 1_000);
    clock.advance(999);
    expect(rings).toEqual([]);
    clock.advance(51);
    expect(rings).toHaveLength(1);
  });

  it('runs no timer while no alarm is set, and one for any number of alarms', () => {
    const { clock, wheel } = createWheel();
    expect(clock.pending).toBe(0);

    const alarms = Array.from({ length: 100 }, () => recorder().alarm);
    alarms.forEach((alarm, i) => wheel.set(alarm, i * 37));
    expect(wheel.size).toBe(100);
    expect(clock.pending).toBe(1);

    clock.advance(100 * 37 + 50);
    expect(wheel.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('runs no timer any more when the last alarm is called off', () => {
    const { clock, wheel } = createWheel();
    const alarms = [recorder().alarm, recorder().alarm];
    for (const alarm of alarms) wheel.set(alarm, 500);
    wheel.cancel(alarms[0] as Alarm);
    expect(clock.pending).toBe(1);
    wheel.cancel(alarms[1] as Alarm);
    expect(clock.pending).toBe(0);

    const { alarm, rings } = recorder();
    wheel.set(alarm, 700);
    clock.advance(700);
    expect(rings).toEqual([700]);
  });

  it('sleeps until the next slot that holds anything, and wakes once for all that is due there', () => {
    const { clock, wheel } = createWheel();
    const early = recorder();
    const late = [recorder(), recorder()];
    wheel.set(early.alarm, 100);
    for (const { alarm } of late) wheel.set(alarm, 9_000);
    clock.advance(100);
    expect(early.rings).toEqual([100]);
    clock.advance(8_900);
    expect(late.map(({ rings }) => rings)).toEqual([[9_000], [9_000]]);
  });

  it('moves an alarm both ways', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder();
    wheel.set(alarm, 1_000);
    wheel.set(alarm, 200);
    clock.advance(200);
    expect(rings).toEqual([200]);

    wheel.set(alarm, 300);
    wheel.set(alarm, 2_000);
    clock.advance(1_000);
    expect(rings).toEqual([200]);
    expect(wheel.size).toBe(1);
    clock.advance(800);
    expect(rings).toEqual([200, 2_000]);
  });

  it('brings an alarm forward with setNoLaterThan, and never puts it off', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder();
    wheel.setNoLaterThan(alarm, 500);
    wheel.setNoLaterThan(alarm, 800);
    wheel.setNoLaterThan(alarm, 300);
    clock.advance(1_000);
    expect(rings).toEqual([300]);
  });

  it('calls an alarm off, also twice, and also one that was never set', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder();
    wheel.cancel(alarm);
    wheel.set(alarm, 100);
    wheel.cancel(alarm);
    wheel.cancel(alarm);
    expect(wheel.size).toBe(0);
    clock.advance(1_000);
    expect(rings).toEqual([]);
  });

  it('rings again at the deadline that the owner asks for, also when that has passed', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder((now) => (now < 300 ? now + 100 : now < 500 ? 0 : Infinity));
    wheel.set(alarm, 100);
    clock.advance(1_000);
    expect(rings).toEqual([100, 200, 300, 350, 400, 450, 500]);
    expect(wheel.size).toBe(0);
  });

  it('does not ring an alarm that another one called off or moved in the same slot', () => {
    const { clock, wheel } = createWheel();
    const victims = [recorder(), recorder()];
    const spoilers = victims.map(({ alarm }, i) =>
      recorder(() => {
        wheel.set(alarm, i === 0 ? Infinity : 400);
        return Infinity;
      }),
    );
    // a slot rings what was set last first
    for (const { alarm } of victims) wheel.set(alarm, 100);
    for (const { alarm } of spoilers) wheel.set(alarm, 100);
    clock.advance(150);
    expect(victims.map(({ rings }) => rings)).toEqual([[], []]);
    clock.advance(1_000);
    expect(victims.map(({ rings }) => rings)).toEqual([[], [400]]);
  });

  it('keeps what the owner sets from inside its own ring when that is earlier than what it returns', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder((now) => {
      if (now === 100) wheel.set(alarm, 200);
      return now === 100 ? 900 : Infinity;
    });
    wheel.set(alarm, 100);
    clock.advance(1_000);
    expect(rings).toEqual([100, 200]);
  });

  it.each([1_200, 5_000])(
    'rings one slot later when the event loop was blocked till %i, so that what is pending is heard first',
    (till) => {
      const { clock, wheel } = createWheel();
      const { alarm, rings } = recorder();
      wheel.set(alarm, 1_000);
      clock.block(till);
      expect(rings).toEqual([]);
      clock.advance(50);
      expect(rings).toEqual([till + 50]);
    },
  );

  it('does not yield twice in a row, so that a loop that is always late still rings', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder();
    wheel.set(alarm, 1_000);
    clock.block(5_000);
    clock.block(5_000);
    expect(rings).toEqual([10_000]);
  });

  it('rings at once what is a little late, as no loop is exact', () => {
    const { clock, wheel } = createWheel();
    const { alarm, rings } = recorder();
    wheel.set(alarm, 1_000);
    clock.block(1_100);
    expect(rings).toEqual([1_100]);
  });

  it('sets and calls off in a time that does not grow with the number of alarms', () => {
    const cost = (count: number): number => {
      const { wheel } = createWheel();
      const alarms = Array.from({ length: count }, () => recorder().alarm);
      for (const alarm of alarms) wheel.set(alarm, 5_000);
      // all in one slot, and those in the middle of its list are moved
      const some = alarms.slice(count / 2, count / 2 + 1_000);
      const start = performance.now();
      for (let round = 0; round < 20; round++) for (const alarm of some) wheel.set(alarm, 5_000 + round);
      return performance.now() - start;
    };
    cost(2_000);
    const best = (count: number) => Math.min(...Array.from({ length: 5 }, () => cost(count)));
    // linear lists would make it 50 times as dear
    expect(best(100_000)).toBeLessThan(10 * best(2_000) + 5);
  });

  it('rings in no AsyncLocalStorage context, whoever has set the alarm', async () => {
    const storage = new AsyncLocalStorage<string>();
    const wheel = new TimerWheel(systemClock);
    const seen: (string | undefined)[] = [];
    await new Promise<void>((resolve) => {
      const alarm = new CallbackAlarm({
        onAlarm: () => {
          seen.push(storage.getStore());
          if (seen.length === 2) resolve();
          return seen.length === 1 ? systemClock.now() : Infinity;
        },
      });
      storage.run('the first user', () => wheel.set(alarm, systemClock.now()));
    });
    expect(seen).toEqual([undefined, undefined]);
  });

  it('keeps to the real clock: never early, and soon after', async () => {
    const wheel = new TimerWheel(systemClock);
    const deadline = systemClock.now() + 20;
    const rungAt = await new Promise<number>((resolve) => {
      wheel.set(
        new CallbackAlarm({
          onAlarm: (now) => {
            resolve(now);
            return Infinity;
          },
        }),
        deadline,
      );
    });
    expect(rungAt).toBeGreaterThanOrEqual(deadline);
  });
});
