import { describe, expect, it } from '@jest/globals';
import { MemoryLog } from '../../../lib/log/memory-log.js';
import { TestEvent, describeEventLog } from '../../support/event-log-contract.js';
import { SlowLog } from '../../support/slow-log.js';

describeEventLog('in memory', (epoch, limits, now) => new MemoryLog(epoch, limits, now));
describeEventLog('that needs time', (epoch, limits, now) => new SlowLog(epoch, limits, now));
describeEventLog('that needs time, and tells late', (epoch, limits, now) => new SlowLog(epoch, limits, now, true));

describe('The log in memory', () => {
  it('holds the very object, as other logs do', () => {
    const [one, other] = [new MemoryLog<TestEvent>('1', { maxBytes: 100 }), new MemoryLog<TestEvent>('2', { maxBytes: 100 })];
    const event = new TestEvent('a');
    one.append(event);
    other.append(event);
    expect(one.read(0, 100).events[0]).toBe(event);
    expect(other.read(0, 100).events[0]).toBe(event);
  });

  it('tells its account of every event that it holds and lets go of', () => {
    const held = new Set<TestEvent>();
    const account = { hold: (event: TestEvent) => held.add(event), release: (event: TestEvent) => held.delete(event) };
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 20 }, () => 0, account);
    const events = ['a', 'b', 'c'].map((name) => new TestEvent(name));
    for (const event of events) log.append(event);
    expect([...held]).toEqual(events.slice(1));
    log.dropOldest();
    expect([...held]).toEqual(events.slice(2));
    log.clear();
    expect(held.size).toBe(0);
  });

  it('knows how many events it holds, and their bytes', () => {
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 25 });
    log.append(new TestEvent('a'));
    log.append(new TestEvent('b', 15));
    expect(log).toMatchObject({ size: 2, bytes: 25 });
    log.append(new TestEvent('c', 5));
    expect(log).toMatchObject({ size: 2, bytes: 20 });
  });

  it('gives the event at a position that it holds, and none elsewhere', () => {
    const log = new MemoryLog<TestEvent>('1', { maxEvents: 2, maxBytes: 100 });
    const events = ['a', 'b', 'c'].map((name) => new TestEvent(name));
    for (const event of events) log.append(event);
    expect([0, 1, 2, 3, 4].map((position) => log.at(position))).toEqual([undefined, undefined, events[1], events[2], undefined]);
  });

  it('counts ages anew after it was cleared', () => {
    let now = 0;
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 100, maxAgeMs: 10 }, () => now);
    log.append(new TestEvent('a'));
    log.clear();
    now = 100;
    log.append(new TestEvent('b'));
    log.trim();
    expect(log.read(0, 100).events.map(({ name }) => name)).toEqual(['b']);
    expect(log.tail()).toBe(2);
  });

  it('reads on rightly while it lets go of thousands of events', () => {
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 5_000, maxAgeMs: 1_000 }, () => 0);
    for (let n = 1; n <= 5_000; n++) {
      log.append(new TestEvent(String(n), 10, `topic-${n % 3}`));
      expect(log.read(n - 1, 10)).toMatchObject({ events: [{ name: String(n) }], reached: n });
      expect(log.size).toBe(Math.min(n, 500));
    }
    expect(log.read(0, 10)).toMatchObject({ events: [{ name: '4501' }], reached: 4_501, isTrimmed: true });
    expect(log.positionBefore(['topic-0'], 2)).toBe(4_994);
    expect(log.positionBefore(['topic-0', 'topic-1'], 100_000)).toBe(4_500);
  });

  it('tells everybody of everything, in order, also when a listener appends in turn and throws', () => {
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 100 });
    const seen: string[] = [];
    log.follow((event) => {
      if (event.name === 'fine') return;
      if (event.name === 'bad') log.append(new TestEvent('in turn'));
      throw new Error(`a listener, at ${event.name}`);
    });
    log.follow((event, position) => seen.push(`${position} ${event.name}`));
    expect(() => log.append(new TestEvent('bad'))).toThrow('a listener, at bad');
    expect(seen).toEqual(['1 bad', '2 in turn']);
    expect(log.append(new TestEvent('fine'))).toBe(3);
    expect(seen).toEqual(['1 bad', '2 in turn', '3 fine']);
    expect(log.size).toBe(3);
  });

  it('tells a listener of nothing that was appended before it began to listen, be it announced or not', () => {
    const log = new MemoryLog<TestEvent>('1', { maxBytes: 100 });
    const late: string[] = [];
    log.follow((event) => {
      if (event.name !== 'a') return;
      log.append(new TestEvent('b'));
      log.follow(({ name }) => late.push(name));
      log.append(new TestEvent('c'));
    });
    log.append(new TestEvent('a'));
    expect(late).toEqual(['c']);
  });
});
