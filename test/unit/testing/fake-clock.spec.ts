import { describe, expect, it, jest } from '@jest/globals';
import { FakeClock, fakeRandom } from '../../../lib/testing/index.js';

describe('FakeClock', () => {
  it('stands still until it is moved', () => {
    const clock = new FakeClock();
    expect(clock.now()).toBe(0);
    clock.advance(1_500);
    expect(clock.now()).toBe(1_500);
  });

  it('rings timers in their order and at their time', () => {
    const clock = new FakeClock();
    const log: unknown[] = [];
    for (const delay of [300, 100, 200, 100]) clock.schedule(() => log.push([delay, clock.now()]), delay);
    clock.advance(250);
    expect(log).toEqual([
      [100, 100],
      [100, 100],
      [200, 200],
    ]);
    expect(clock.pending).toBe(1);
    clock.advance(50);
    expect(log.at(-1)).toEqual([300, 300]);
    expect(clock.pending).toBe(0);
  });

  it('rings timers that a timer sets, if they are due', () => {
    const clock = new FakeClock();
    const rings: number[] = [];
    const again = (): void => {
      rings.push(clock.now());
      clock.schedule(again, 100);
    };
    clock.schedule(again, 100);
    clock.advance(350);
    expect(rings).toEqual([100, 200, 300]);
  });

  it('does not ring a timer that was called off, also by another timer', () => {
    const clock = new FakeClock();
    const callback = jest.fn();
    clock.schedule(callback, 10)();
    const cancel = clock.schedule(callback, 20);
    clock.schedule(cancel, 15);
    clock.advance(100);
    expect(callback).not.toHaveBeenCalled();
    expect(clock.pending).toBe(0);
  });

  it('rings everything late after a block', () => {
    const clock = new FakeClock();
    const rings: number[] = [];
    for (const delay of [100, 200]) clock.schedule(() => rings.push(clock.now()), delay);
    clock.block(5_000);
    expect(rings).toEqual([5_000, 5_000]);
  });
});

describe('fakeRandom', () => {
  it('is no jitter at all unless it is told otherwise', () => {
    const random = fakeRandom();
    expect([random(), random()]).toEqual([0, 0]);
  });

  it('gives the numbers in turn, over and over', () => {
    const random = fakeRandom(0.1, 0.9);
    expect([random(), random(), random()]).toEqual([0.1, 0.9, 0.1]);
  });

  it.each([-0.1, 1, NaN, Infinity])('refuses %d, which no randomness gives', (value) => {
    expect(() => fakeRandom(0, value)).toThrow(RangeError);
  });
});
