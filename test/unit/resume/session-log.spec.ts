import { describe, expect, it } from '@jest/globals';
import { END_EVENT, TOKEN, numbered, sessionLog } from '../../support/session-logs.js';

describe('the log of a session', () => {
  it('names its events by its token and where they stand', () => {
    const log = sessionLog();
    expect(log.tail).toBe(0);
    expect(log.append(numbered(1))).toBe(1);
    expect(log.append(numbered(2))).toBe(2);
    expect(log.tail).toBe(2);
    expect([0, 1, 2].map((position) => log.idOf(position))).toEqual([`${TOKEN}:0`, `${TOKEN}:1`, `${TOKEN}:2`]);
    expect(log.idLine(2)).toBe(`id: ${TOKEN}:2\n`);
  });

  it.each([0, 1, 9, 10, 11, 99, 100, 999, 1_000, 9_999, 10_000, 99_999, 100_000, 999_999_999, 9_007_199_254_740_991])(
    'knows how long the id line of %i is',
    (position) => {
      const log = sessionLog();
      expect(log.idLineLength(position)).toBe(Buffer.byteLength(log.idLine(position)));
    },
  );

  it('calls its last event the end, when it is told so, and no other', () => {
    const log = sessionLog();
    log.append(numbered(1));
    expect(log.append(END_EVENT, true)).toBe(2);
    expect([0, 1, 2].map((position) => log.idOf(position))).toEqual([`${TOKEN}:0`, `${TOKEN}:1`, `${TOKEN}:end`]);
    expect([1, 2].map((position) => log.idLineLength(position))).toEqual([1, 2].map((position) => log.idLine(position).length));
  });

  it('keeps its positions when events are trimmed, and when all are', () => {
    const log = sessionLog({ maxEvents: 2 });
    for (let n = 1; n <= 5; n++) log.append(numbered(n));
    expect(log.tail).toBe(5);
    expect(log.events).toMatchObject({ size: 2 });
    expect(log.events.trimmedUpTo()).toBe(3);
    log.events.clear();
    expect(log.tail).toBe(5);
    expect(log.events).toMatchObject({ size: 0, bytes: 0 });
  });
});
