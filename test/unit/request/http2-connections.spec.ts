import { EventEmitter } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, it, jest } from '@jest/globals';
import { TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { TcpLookUp } from '../../../lib/liveness/tcp-look-up.js';
import { Http2Connections } from '../../../lib/request/http2-connections.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { turns } from '../../support/memory-session.js';

/** An HTTP/2 connection whose client goes when its socket is destroyed, and not before. */
function createStream() {
  const socket = Object.assign(new EventEmitter(), { destroy: jest.fn(() => socket.emit('close')) }) as EventEmitter & {
    destroy: jest.Mock;
  };
  const session = Object.assign(new EventEmitter(), { destroyed: false, socket, close: jest.fn() });
  const stream = Object.assign(new EventEmitter(), { session }) as unknown as ServerHttp2Stream;
  return { socket, session, stream };
}

function createConnections() {
  const clock = new FakeClock();
  return { clock, connections: new Http2Connections(new TimerWheel(clock), new TcpLookUp(async () => new Map())) };
}

describe('Http2Connections', () => {
  it('tells the clients to go, and cuts at the deadline those that have not gone', async () => {
    const { clock, connections } = createConnections();
    const [first, second] = [createStream(), createStream()];
    connections.watch(first.stream);
    connections.watch(second.stream);
    let isClosed = false;
    void connections.close(clock, 1_000).then(() => (isClosed = true));
    expect([first, second].map(({ session }) => session.close.mock.calls.length)).toEqual([1, 1]);
    first.socket.emit('close');
    clock.advance(999);
    await turns(1);
    expect([isClosed, second.socket.destroy.mock.calls.length]).toEqual([false, 0]);
    clock.advance(1);
    await turns(1);
    expect([isClosed, first.socket.destroy.mock.calls.length, second.socket.destroy.mock.calls.length]).toEqual([true, 0, 1]);
  });

  it('does the same with a connection that comes after the others were told', async () => {
    const { clock, connections } = createConnections();
    await connections.close(clock, 1_000);
    const late = createStream();
    connections.watch(late.stream);
    expect(late.session.close).toHaveBeenCalledTimes(1);
    clock.advance(999);
    expect(late.socket.destroy).not.toHaveBeenCalled();
    clock.advance(1);
    expect(late.socket.destroy).toHaveBeenCalledTimes(1);
  });

  it('counts the streams that carry sessions, each once and this one not', () => {
    const { connections } = createConnections();
    const { stream, session } = createStream();
    const sibling = Object.assign(new EventEmitter(), { session }) as unknown as ServerHttp2Stream;
    connections.watch(stream);
    connections.carry(sibling);
    connections.carry(stream);
    connections.carry(stream);
    expect(connections.othersThan(stream)).toBe(1);
    (sibling as unknown as EventEmitter).emit('close');
    expect(connections.othersThan(stream)).toBe(0);
  });
});
