import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Alarm, TimerWheel } from '../../lib/clock/timer-wheel.js';
import { CallbackAlarm } from '../support/alarm.js';
import { FakeClock } from '../../lib/testing/fake-clock.js';

const ALARMS = 6;
const alarmIndex = fc.nat(ALARMS - 1);
const delay = fc.oneof(fc.nat(200), fc.nat(15_000), fc.nat(100_000));

const command = fc.oneof(
  fc.record({ set: alarmIndex, inMs: fc.oneof(delay, fc.integer({ min: -5_000, max: 0 })) }),
  fc.record({ noLater: alarmIndex, inMs: delay }),
  fc.record({ cancel: alarmIndex }),
  fc.record({ repeat: alarmIndex, everyMs: fc.integer({ min: 1, max: 5_000 }) }),
  fc.record({ advance: delay }),
);

/** A naive model: a list of deadlines. It says what may ring; when exactly, within a slot, is the wheel's. */
it('a timer wheel rings what a list of deadlines would, never early and at most 50 ms late', () => {
  fc.assert(
    fc.property(fc.nat(60_000), fc.array(command, { maxLength: 40 }), (start, commands) => {
      const clock = new FakeClock();
      clock.advance(start);
      const wheel = new TimerWheel(clock);
      const deadlines = new Array<number>(ALARMS).fill(Infinity);
      /** When the deadline was set, as one in the past can't ring before that. */
      const setAt = new Array<number>(ALARMS).fill(0);
      const intervals = new Array<number>(ALARMS).fill(Infinity);
      const note = (i: number, deadline: number): void => {
        deadlines[i] = deadline;
        setAt[i] = clock.now();
      };
      const alarms = deadlines.map(
        (_, i) =>
          new CallbackAlarm({
            onAlarm: (now) => {
              expect(now).toBe(clock.now());
              expect(now).toBeGreaterThanOrEqual(deadlines[i] as number);
              expect(now).toBeLessThanOrEqual(Math.max(deadlines[i] as number, setAt[i] as number) + 50);
              note(i, now + (intervals[i] as number));
              return deadlines[i] as number;
            },
          }),
      );
      for (const step of commands) {
        if ('advance' in step) {
          clock.advance(step.advance);
          // whatever is due for longer than a slot has rung
          deadlines.forEach((deadline, i) => {
            if (deadline !== Infinity) expect(clock.now()).toBeLessThan(Math.max(deadline, setAt[i] as number) + 50);
          });
        } else if ('cancel' in step) {
          wheel.cancel(alarms[step.cancel] as Alarm);
          note(step.cancel, Infinity);
        } else if ('repeat' in step) {
          intervals[step.repeat] = step.everyMs;
        } else if ('set' in step) {
          const deadline = clock.now() + step.inMs;
          wheel.set(alarms[step.set] as Alarm, deadline);
          note(step.set, deadline);
        } else {
          const deadline = clock.now() + step.inMs;
          wheel.setNoLaterThan(alarms[step.noLater] as Alarm, deadline);
          if (deadline < (deadlines[step.noLater] as number)) note(step.noLater, deadline);
        }
        const set = deadlines.filter((deadline) => deadline !== Infinity).length;
        expect(wheel.size).toBe(set);
        expect(clock.pending).toBe(set > 0 ? 1 : 0);
      }
    }),
    { numRuns: 300 },
  );
});
