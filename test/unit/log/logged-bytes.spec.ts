import { describe, expect, it } from '@jest/globals';
import { loggedBytes } from '../../../lib/log/logged-bytes.js';
import { MemoryLog } from '../../../lib/log/memory-log.js';
import { TestEvent } from '../../support/event-log-contract.js';

const create = () => new MemoryLog<TestEvent>('1', { maxBytes: 1_000 }, () => 0, loggedBytes);

describe('The account of all logs', () => {
  it('counts an event once, in however many logs it stands, until the last has let go of it', () => {
    const before = loggedBytes.total;
    const logs = [create(), create(), create()];
    const event = new TestEvent('a', 500);
    logs[0]?.append(event);
    const alone = loggedBytes.total - before;
    expect(alone).toBeGreaterThanOrEqual(500);
    logs[1]?.append(event);
    logs[2]?.append(event);
    expect(event.logs).toBe(3);
    const shared = loggedBytes.total - before;
    expect(shared).toBeGreaterThan(alone);
    expect(shared).toBeLessThan(alone + 100);
    logs[0]?.clear();
    logs[1]?.dropOldest();
    expect(loggedBytes.total - before).toBe(alone);
    logs[2]?.append(new TestEvent('b', 600));
    expect(event.logs).toBe(0);
    expect(loggedBytes.total - before).toBe(alone + 100);
    logs[2]?.clear();
    expect(loggedBytes.total).toBe(before);
  });
});
