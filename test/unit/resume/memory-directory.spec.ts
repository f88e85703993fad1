import { describe, expect, it, jest } from '@jest/globals';
import { MemoryLog } from '../../../lib/log/memory-log.js';
import { loggedBytes } from '../../../lib/log/logged-bytes.js';
import { ENDED_MS, MAX_ENDED, MemoryDirectory } from '../../../lib/resume/memory-directory.js';
import type { LogAddress, SessionLog } from '../../../lib/resume/session-log.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { numbered } from '../../support/session-logs.js';

const LIMITS = { maxEvents: 20_000, maxBytes: 8_388_608 };
const ADDRESS: LogAddress = { principal: 'ann', key: 'answer', route: 'GET /chat', path: '/chat' };
const STOP = { after: 'stop', reset: 'ended' } as const;

function directory(maxTotalBytes = 1_000_000) {
  const clock = new FakeClock();
  const sessions = new MemoryDirectory(clock, maxTotalBytes);
  let opened = 0;
  const open = (address: Partial<LogAddress> = {}): SessionLog => sessions.open(`session ${opened++}`, { ...ADDRESS, ...address }, LIMITS);
  const end = (log: SessionLog): void => sessions.end(log, { ...STOP, at: clock.now() });
  return { clock, sessions, open, end };
}

/** Fills a log with events of 1,000 bytes each, of its own. */
function fill(log: SessionLog, events: number): void {
  for (let n = 0; n < events; n++) log.append(numbered(n, 1_000 - numbered(n).byteLength));
}

describe('the directory in memory', () => {
  describe('remembers an ended session', () => {
    it('with its events and how it ended, for 10 minutes and no longer', () => {
      const { clock, sessions, open, end } = directory();
      const { total } = loggedBytes;
      const log = open();
      fill(log, 3);
      end(log);
      clock.advance(ENDED_MS - 1);
      sessions.expire();
      expect(sessions.find(log.token)).toBe(log);
      expect(log.ending).toMatchObject(STOP);
      expect(log.events.size).toBe(3);
      clock.advance(1);
      // also before the cleanup job comes
      expect(sessions.find(log.token)).toBeUndefined();
      sessions.expire();
      expect(sessions.held).toEqual({ ended: 0, bytes: total });
      expect(log.events.size).toBe(0);
    });

    it('of which there are 10,000 at most: the oldest is forgotten for the newest', () => {
      const { sessions, open, end } = directory(Infinity);
      const { total } = loggedBytes;
      const logs = Array.from({ length: MAX_ENDED }, () => open());
      for (const log of logs) {
        fill(log, 1);
        end(log);
      }
      expect(sessions.held.ended).toBe(10_000);
      expect(logs.every((log) => sessions.find(log.token) === log)).toBe(true);
      const one = open();
      end(one);
      expect(sessions.held.ended).toBe(10_000);
      expect(sessions.find(logs[0]!.token)).toBeUndefined();
      expect(logs[0]!.events.size).toBe(0);
      expect(sessions.find(logs[1]!.token)).toBe(logs[1]);
      expect(sessions.find(one.token)).toBe(one);
      for (const log of logs) log.clear();
      expect(loggedBytes.total).toBe(total);
    });
  });

  describe('when all logs together hold more than resumeMaxTotalBytes', () => {
    it('drops the events of the ended ones first, the oldest of them first', () => {
      const { sessions, open, end } = directory(loggedBytes.total + 10_000);
      const [oldest, old, live] = [open(), open(), open()];
      fill(oldest, 3);
      fill(old, 3);
      end(oldest);
      end(old);
      fill(live, 3);
      expect([oldest, old, live].map((log) => log.events.size)).toEqual([0, 3, 3]);
      fill(live, 3);
      expect([oldest, old, live].map((log) => log.events.size)).toEqual([0, 0, 6]);
      // how they have ended is remembered all the same
      expect(sessions.find(oldest.token)).toBe(oldest);
      expect(oldest.tail).toBe(3);
      live.events.clear();
    });

    it('then the older half of the longest live one', () => {
      const before = loggedBytes.total;
      const { open } = directory(before + 20_000);
      const [short, long] = [open(), open()];
      fill(short, 4);
      fill(long, 12);
      expect(loggedBytes.total).toBeLessThanOrEqual(before + 20_000);
      expect([short, long].map((log) => log.events.size)).toEqual([4, 12]);
      fill(short, 2);
      expect([short, long].map((log) => log.events.size)).toEqual([6, 6]);
      expect(long.events.trimmedUpTo()).toBe(6);
      expect(loggedBytes.total).toBeLessThanOrEqual(before + 20_000);
      short.events.clear();
      long.events.clear();
    });

    it('bounds them, however many they are and though no event is shared', () => {
      const before = loggedBytes.total;
      const { open } = directory(before + 2_000_000);
      const logs = Array.from({ length: 1_500 }, (_, n) => open({ key: String(n) }));
      for (let n = 0; n < 10; n++) {
        for (const log of logs) {
          fill(log, 1);
          expect(loggedBytes.total).toBeLessThanOrEqual(before + 2_000_000);
        }
      }
      const sizes = logs.map((log) => log.events.size);
      expect(sizes.reduce((a, b) => a + b)).toBeGreaterThan(1_000);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
      for (const log of logs) log.clear();
    });

    it('bounds them as ever once that is over which nobody could let go of', () => {
      const before = loggedBytes.total;
      const { sessions, open } = directory(before + 20_000);
      const large = Array.from({ length: 40 }, (_, n) => open({ key: String(n) }));
      for (const log of large) fill(log, 1);
      for (const log of large) sessions.forget(log);
      const log = open();
      for (let n = 0; n < 100; n++) {
        fill(log, 1);
        expect(loggedBytes.total).toBeLessThanOrEqual(before + 20_000);
      }
      log.clear();
    });

    it('takes from those that are long when room is made, not from those that were', () => {
      const before = loggedBytes.total;
      const { sessions, open } = directory(before + 200_000);
      const first = Array.from({ length: 20 }, (_, n) => open({ key: String(n) }));
      for (let n = 0; n < 9; n++) for (const log of first) fill(log, 1);
      const sizes = first.map((log) => log.events.size);
      expect(Math.min(...sizes)).toBeLessThan(9);
      const [quiet, ...rest] = [...first].reverse() as [SessionLog, ...SessionLog[]];
      for (const log of rest) sessions.forget(log);
      const kept = quiet.events.size;
      const hog = open();
      fill(hog, 500);
      expect(quiet.events.size).toBe(kept);
      expect(loggedBytes.total).toBeLessThanOrEqual(before + 200_000);
      for (const log of [quiet, hog]) log.clear();
    });

    it('bounds them again after what nobody could let go of', () => {
      const before = loggedBytes.total;
      const { open } = directory(before + 20_000);
      const logs = Array.from({ length: 40 }, (_, n) => open({ key: String(n) }));
      // of each the newest alone, which stays
      for (const log of logs) fill(log, 1);
      expect(loggedBytes.total).toBeGreaterThan(before + 40_000);
      for (const log of logs.slice(1)) log.clear();
      fill(logs[0]!, 100);
      expect(loggedBytes.total).toBeLessThanOrEqual(before + 20_000);
      for (const log of logs) log.clear();
    });

    it('never the newest event of a live one, though that be too much', () => {
      const before = loggedBytes.total;
      const { open } = directory(1);
      const logs = [open(), open(), open()];
      for (const log of logs) fill(log, 2);
      expect(logs.map((log) => log.events.size)).toEqual([1, 1, 1]);
      for (const log of logs) log.clear();
      expect(loggedBytes.total).toBe(before);
    });
  });

  it('counts an event that stands in many logs once, and what each log adds to it', () => {
    const before = loggedBytes.total;
    const { open } = directory();
    const shared = numbered(1, 1_000);
    const logs = Array.from({ length: 100 }, () => open());
    logs[0]!.append(shared);
    const first = loggedBytes.total - before;
    expect(first).toBeGreaterThanOrEqual(shared.byteLength);
    for (const log of logs.slice(1)) log.append(shared);
    expect(loggedBytes.total - before - first).toBe(99 * 8);
    for (const log of logs.slice(1)) log.clear();
    expect(loggedBytes.total - before).toBe(first);
    logs[0]!.events.clear();
    expect(loggedBytes.total).toBe(before);
  });

  it('looks for the longest live log now and then, not with each event, when there is nothing to let go of', () => {
    const before = loggedBytes.total;
    const { open } = directory(before + 5_000);
    const logs = Array.from({ length: 200 }, (_, n) => open({ key: String(n) }));
    const shared = numbered(1, 5_000);
    for (const log of logs) log.append(shared);
    const sizes = jest.spyOn(MemoryLog.prototype, 'size', 'get');
    for (let n = 0; n < 100; n++) open({ key: undefined }).append(shared);
    // each append asks its own log, and a look asks all of them
    expect(sizes.mock.calls.length).toBeLessThan(100 * 60);
    expect(loggedBytes.total).toBeGreaterThan(before + 5_000);
    sizes.mockRestore();
    for (const log of logs) log.clear();
  });
});
