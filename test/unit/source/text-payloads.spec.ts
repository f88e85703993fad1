import { describe, expect, it } from '@jest/globals';
import { TextPayloads } from '../../../lib/source/text-payloads.js';

describe('TextPayloads', () => {
  it('joins a character that is cut between two chunks', () => {
    const text = new TextPayloads();
    const [first, second] = [Buffer.from('a€').subarray(0, 2), Buffer.from('a€').subarray(2)];
    expect([text.decode(first), text.decode(second), text.end()]).toEqual(['a', '€', '']);
  });

  it('has a replacement character at the end for a stream that was cut inside a character', () => {
    const text = new TextPayloads();
    expect(text.decode(Buffer.from('€').subarray(0, 2))).toBe('');
    expect(text.end()).toBe('\uFFFD');
  });
});
