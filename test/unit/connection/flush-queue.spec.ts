import { describe, expect, it, jest } from '@jest/globals';
import { type Flushable, FlushQueue } from '../../../lib/connection/flush-queue.js';
import { turns } from '../../support/memory-session.js';

describe('the queue of what is flushed at the end of the turn', () => {
  it('flushes all in the order in which they came, after the turn, and what they add in a later one', async () => {
    const queue = new FlushQueue();
    const flushed: string[] = [];
    const flushable = (name: string, then?: () => void): Flushable => ({
      flush: () => {
        flushed.push(name);
        then?.();
      },
    });
    queue.add(flushable('a', () => queue.add(flushable('c'))));
    queue.add(flushable('b'));
    expect(flushed).toEqual([]);
    await turns(1);
    expect(flushed).toEqual(['a', 'b', 'c']);
  });

  it('flushes the others in a tick of their own when one throws', () => {
    const ticks: (() => void)[] = [];
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((tick) => void ticks.push(tick as () => void));
    try {
      const queue = new FlushQueue();
      const flushed: string[] = [];
      queue.add({ flush: () => flushed.push('a') });
      queue.add({
        flush: () => {
          throw new Error('not ours');
        },
      });
      queue.add({ flush: () => flushed.push('c') });
      expect(ticks.shift()).toThrow('not ours');
      ticks.shift()?.();
      expect(flushed).toEqual(['a', 'c']);
      expect(ticks).toEqual([]);
    } finally {
      nextTick.mockRestore();
    }
  });
});
