import { describe, expect, it } from '@jest/globals';
import { Movement } from '../../../lib/connection/movement.js';

describe('Movement', () => {
  it('counts from when something began to wait', () => {
    const movement = new Movement(30_000);
    expect(movement.stillness(1_000, 0)).toBe(0);
    expect(movement.stillness(5_000, 0)).toBe(4_000);
  });

  it('begins anew with every byte that the kernel takes, and not with what is written meanwhile', () => {
    const movement = new Movement(30_000);
    movement.stillness(0, 100);
    expect(movement.stillness(10_000, 101)).toBe(0);
    // a heartbeat's framing
    expect(movement.stillness(15_000, 94)).toBe(5_000);
    expect(movement.stillness(16_000, 95)).toBe(0);
  });

  it('asks the kernel when half of the time has passed, and then when all has', () => {
    const movement = new Movement(30_000);
    movement.stillness(0, 0);
    expect(movement.lookAt(0)).toBe(15_000);
    movement.onLook(15_000, 5);
    expect(movement.lookAt(15_000)).toBe(30_000);
  });

  it('takes what the client has acknowledged between two looks for movement, and nothing else', () => {
    const looks: [acknowledged: (number | undefined)[], stillness: number][] = [
      [[5, 5], 30_000],
      [[5, 4], 30_000],
      [[undefined, undefined], 30_000],
      [[undefined, 7], 30_000],
      [[5, 6], 0],
    ];
    for (const [[first, second], expected] of looks) {
      const movement = new Movement(30_000);
      movement.stillness(0, 0);
      movement.onLook(15_000, first);
      movement.onLook(30_000, second);
      expect(movement.stillness(30_000, 0)).toBe(expected);
    }
  });

  it('leaves half of the time after the first look, however late that comes', () => {
    const movement = new Movement(30_000);
    movement.stillness(0, 0);
    movement.onLook(90_000, 5);
    expect(movement.stillness(90_000, 0)).toBe(15_000);
  });
});
