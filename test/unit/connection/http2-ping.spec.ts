import { EventEmitter } from 'node:events';
import type { Http2Session } from 'node:http2';
import { describe, expect, it, jest } from '@jest/globals';
import { TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { Http2Ping } from '../../../lib/connection/http2-ping.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';

class FakeSession extends EventEmitter {
  destroyed = false;
  readonly pings: ((error: Error | null) => void)[] = [];

  ping(callback: (error: Error | null) => void): boolean {
    this.pings.push(callback);
    return true;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

function createPing() {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const session = new FakeSession();
  const ping = new Http2Ping(session as unknown as Http2Session, wheel);
  const listener = () => ({ onDrain: jest.fn(), onClose: jest.fn(), onDeadPeer: jest.fn() });
  return { clock, wheel, session, ping, listener };
}

describe('the PING of an HTTP/2 connection', () => {
  it('goes with what is written, and never to an idle client', () => {
    const { clock, session, ping, listener } = createPing();
    ping.add(listener(), 30_000);
    clock.advance(600_000);
    expect(session.pings).toHaveLength(0);
    ping.onWrite();
    ping.onWrite();
    expect(session.pings).toHaveLength(1);
  });

  it('is asked at most once a second, and then for what was written meanwhile', () => {
    const { clock, session, ping, listener } = createPing();
    ping.add(listener(), 30_000);
    ping.onWrite();
    session.pings[0]!(null);
    ping.onWrite();
    clock.advance(999);
    expect(session.pings).toHaveLength(1);
    clock.advance(51);
    expect(session.pings).toHaveLength(2);
    session.pings[1]!(null);
    clock.advance(60_000);
    expect(session.pings).toHaveLength(2);
    ping.onWrite();
    expect(session.pings).toHaveLength(3);
  });

  it('that is not answered for the shortest timeout of all streams ends them all, and the connection', () => {
    const { clock, wheel, session, ping, listener } = createPing();
    const [first, second] = [listener(), listener()];
    ping.add(first, 30_000);
    ping.add(second, 5_000);
    ping.onWrite();
    clock.advance(4_999);
    expect([first, second].map(({ onDeadPeer }) => onDeadPeer.mock.calls.length)).toEqual([0, 0]);
    clock.advance(51);
    expect([first, second].map(({ onDeadPeer }) => onDeadPeer.mock.calls.length)).toEqual([1, 1]);
    expect(session.destroyed).toBe(true);
    expect(wheel.size).toBe(0);
    session.pings[0]!(null);
    ping.onWrite();
    expect(session.pings).toHaveLength(1);
  });

  it('leaves nothing behind when its streams have ended, or the connection has', () => {
    const { wheel, session, ping, listener } = createPing();
    const first = listener();
    ping.add(first, 30_000);
    ping.onWrite();
    expect(wheel.size).toBe(1);
    ping.delete(first);
    expect(wheel.size).toBe(0);
    // the late answer to a question that nobody asks any more
    session.pings[0]!(null);
    expect(wheel.size).toBe(0);
    ping.add(listener(), 30_000);
    ping.onWrite();
    session.destroy();
    expect(wheel.size).toBe(0);
  });

  it('is no answer when the connection ends meanwhile: its streams hear of that themselves', () => {
    const { clock, session, ping, listener } = createPing();
    const only = listener();
    ping.add(only, 30_000);
    ping.onWrite();
    session.pings[0]!(new Error('ERR_HTTP2_PING_CANCEL'));
    clock.advance(1_100);
    ping.onWrite();
    expect(session.pings).toHaveLength(1);
  });
});
