import { describe, expect, it, jest } from '@jest/globals';
import { systemClock } from '../../../lib/clock/clock.js';

describe('systemClock', () => {
  it('is monotonic: a step of the wall clock does not show', () => {
    const before = systemClock.now();
    const wallClock = jest.spyOn(Date, 'now').mockReturnValue(0);
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    wallClock.mockRestore();
  });

  it('calls back once after the delay, unless it is called off', async () => {
    const calledOff = jest.fn();
    systemClock.schedule(calledOff, 1)();
    const start = systemClock.now();
    await new Promise<void>((resolve) => systemClock.schedule(resolve, 5));
    expect(systemClock.now() - start).toBeGreaterThanOrEqual(4);
    expect(calledOff).not.toHaveBeenCalled();
  });

  it('keeps no process alive', () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    systemClock.schedule(() => undefined, 60_000)();
    expect((timers.mock.results[0]?.value as NodeJS.Timeout).hasRef()).toBe(false);
    timers.mockRestore();
  });
});
