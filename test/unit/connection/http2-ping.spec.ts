import { EventEmitter } from 'node:events';
import type { Http2Session } from 'node:http2';
import { describe, expect, it, jest } from '@jest/globals';
import { TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { Http2Ping } from '../../../lib/connection/http2-ping.js';
import type { TcpSocket } from '../../../lib/liveness/tcp-table.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { turns } from '../../support/memory-session.js';

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
  /** What the kernel says of the socket. */
  const kernel: { socket: TcpSocket | undefined } = { socket: undefined };
  const ping = new Http2Ping(session as unknown as Http2Session, wheel, async () => kernel.socket);
  const listener = () => ({ onDrain: jest.fn(), onClose: jest.fn(), onDeadPeer: jest.fn() });
  return { clock, wheel, session, ping, listener, kernel };
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

  it('that is not answered for the shortest timeout of all streams ends them all, and the connection', async () => {
    const { clock, wheel, session, ping, listener } = createPing();
    const [first, second] = [listener(), listener()];
    ping.add(first, 30_000);
    ping.add(second, 5_000);
    ping.onWrite();
    clock.advance(4_999);
    expect([first, second].map(({ onDeadPeer }) => onDeadPeer.mock.calls.length)).toEqual([0, 0]);
    clock.advance(51);
    await turns(1);
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

  it('that could not be sent, on a connection that is closing, proves nothing', async () => {
    const { clock, session, ping, listener } = createPing();
    const only = listener();
    ping.add(only, 5_000);
    ping.onWrite();
    for (let n = 0; n < 20; n++) {
      session.pings.at(-1)!(new Error('ERR_HTTP2_PING_CANCEL'));
      clock.advance(1_050);
      await turns(1);
    }
    expect(only.onDeadPeer).not.toHaveBeenCalled();
    // at most one a second all the same
    expect(session.pings.length).toBeLessThanOrEqual(21);
  });

  it.each<[string, Partial<TcpSocket>, number | undefined]>([
    ['alive, as it acknowledges what stands before the PING', { unacknowledgedBytes: 500_000 }, undefined],
    ['dead, as it has acknowledged everything and does not answer', { unacknowledgedBytes: 0 }, 5_050],
    ['dead, as it acknowledges nothing', { unacknowledgedBytes: 500, retransmits: 5, silentMs: 5_000 }, 5_050],
    [
      'dead a little later, as it has acknowledged something since the PING',
      { unacknowledgedBytes: 500, retransmits: 5, silentMs: 4_000 },
      6_100,
    ],
  ])('that is not answered: the client is %s', async (_what, socket, diesAt) => {
    const { clock, session, ping, listener, kernel } = createPing();
    const only = listener();
    let diedAt: number | undefined;
    only.onDeadPeer.mockImplementation(() => (diedAt = clock.now()));
    kernel.socket = { hasLeft: false, retransmits: 0, unacknowledgedBytes: 0, silentMs: 0, ...socket };
    ping.add(only, 5_000);
    ping.onWrite();
    for (let passed = 0; passed < 60_000 && diedAt === undefined; passed += 50) {
      clock.advance(50);
      await turns(1);
      if (clock.now() > 5_100 && kernel.socket.silentMs > 0) kernel.socket = { ...kernel.socket, silentMs: clock.now() - 1_000 };
    }
    if (diesAt === undefined) expect(diedAt).toBeUndefined();
    else expect(Math.abs((diedAt ?? Infinity) - diesAt)).toBeLessThanOrEqual(100);
    expect(session.pings).toHaveLength(1);
  });

  it('ends nobody for a PING that was answered while the kernel was asked, although another is out by then', async () => {
    const { clock, session, ping, listener } = createPing();
    const [first, second] = [listener(), listener()];
    ping.add(first, 5_000);
    ping.onWrite();
    // rings, and asks the kernel
    clock.advance(5_050);
    session.pings[0]!(null);
    ping.delete(first);
    clock.advance(100);
    ping.add(second, 5_000);
    ping.onWrite();
    expect(session.pings).toHaveLength(2);
    await turns(1);
    expect([second.onDeadPeer.mock.calls.length, session.destroyed]).toEqual([0, false]);
  });

  it('that is out already has to be answered in the time of a stream that comes later, if that is shorter', async () => {
    const { clock, session, ping, listener } = createPing();
    const [first, second] = [listener(), listener()];
    ping.add(first, 60_000);
    ping.onWrite();
    clock.advance(1_000);
    ping.add(second, 5_000);
    clock.advance(4_050);
    await turns(1);
    expect(second.onDeadPeer).toHaveBeenCalledTimes(1);
    expect(session.destroyed).toBe(true);
  });
});
