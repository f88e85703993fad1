import { describe, expect, it } from '@jest/globals';
import { TopicPositions } from '../../../lib/log/topic-positions.js';

describe('The positions of topics', () => {
  it('say where the last events of some topics begin', () => {
    const topics = new TopicPositions();
    topics.add('a', 1);
    topics.add('b', 2);
    topics.add('a', 3);
    expect(topics.oldestOfLast(['a'], 1)).toBe(3);
    expect(topics.oldestOfLast(['a', 'b'], 2)).toBe(2);
    expect(topics.oldestOfLast(['a', 'b'], 9)).toBe(1);
    expect(topics.oldestOfLast(['c'], 1)).toBeUndefined();
  });

  it('forget what was trimmed, and a topic that has nothing left', () => {
    const topics = new TopicPositions();
    for (let position = 1; position <= 1_000; position++) topics.add('a', position);
    for (let trimmed = 1; trimmed < 1_000; trimmed++) {
      topics.dropOldest('a');
      expect(topics.oldestOfLast(['a'], 5_000)).toBe(trimmed + 1);
    }
    topics.dropOldest('a');
    expect(topics.oldestOfLast(['a'], 1)).toBeUndefined();
    topics.dropOldest('a');
    topics.add('a', 1_001);
    expect(topics.oldestOfLast(['a'], 2)).toBe(1_001);
  });
});
