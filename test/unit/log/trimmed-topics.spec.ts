import { describe, expect, it } from '@jest/globals';
import { TrimmedTopics } from '../../../lib/log/trimmed-topics.js';

describe('The table of trimmed topics', () => {
  it('knows the last position of each topic', () => {
    const topics = new TrimmedTopics();
    topics.add('sport', 1);
    topics.add('news', 2);
    topics.add('sport', 5);
    expect([topics.upTo('sport'), topics.upTo('news'), topics.upTo('weather')]).toEqual([5, 2, 0]);
  });

  it('forgets the topics that were trimmed longest ago, and is too high for them, never too low', () => {
    const topics = new TrimmedTopics(2);
    topics.add('a', 1);
    topics.add('b', 2);
    topics.add('a', 3);
    topics.add('c', 4);
    expect([topics.upTo('a'), topics.upTo('b'), topics.upTo('c'), topics.upTo('never')]).toEqual([3, 2, 4, 2]);
    topics.add('d', 5);
    expect([topics.upTo('a'), topics.upTo('b'), topics.upTo('c'), topics.upTo('d')]).toEqual([3, 3, 4, 5]);
  });
});
