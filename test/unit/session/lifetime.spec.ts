import { describe, expect, it } from '@jest/globals';
import { Lifetime } from '../../../lib/session/lifetime.js';
import { FakeClock, fakeRandom } from '../../../lib/testing/fake-clock.js';

describe('Lifetime', () => {
  it('has no deadline when nothing is timed', () => {
    const lifetime = new Lifetime(new FakeClock(), fakeRandom(), { timeoutMs: false, idleTimeoutMs: false });
    lifetime.open();
    expect(lifetime.deadline).toBe(Infinity);
    expect(lifetime.passed(1e15)).toBeUndefined();
  });

  it('has passed at its deadline, and not before', () => {
    const lifetime = new Lifetime(new FakeClock(), fakeRandom(), { timeoutMs: 1_000, idleTimeoutMs: 600 });
    expect([lifetime.passed(999), lifetime.passed(1_000)]).toEqual([undefined, 'timeout']);
    lifetime.open();
    expect(lifetime.deadline).toBe(600);
    expect([lifetime.passed(599), lifetime.passed(600), lifetime.passed(1_000)]).toEqual([undefined, 'idle-timeout', 'timeout']);
  });
});
