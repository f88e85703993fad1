import { describe, expect, it, jest } from '@jest/globals';
import { TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { Connection } from '../../../lib/connection/connection.js';
import { Connections } from '../../../lib/connection/connections.js';
import { encodeComment, encodeData } from '../../../lib/event/encode.js';
import type { RouteOptions } from '../../../lib/options/options.js';
import { resolveModuleOptions, resolveRouteOptions } from '../../../lib/options/resolve.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { turns } from '../../support/memory-session.js';

function createConnection(options: RouteOptions = {}, response = new MemoryResponse()) {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const owner = { onConnectionEnd: jest.fn(), onReady: jest.fn() };
  const route = resolveRouteOptions(resolveModuleOptions(), options, 'test');
  const connection = new Connection(
    owner,
    new Connections(
      wheel,
      1e9,
      async () => new Map(),
      () => undefined,
    ),
    route,
    response,
  );
  connection.attach();
  return { clock, wheel, owner, connection, response };
}

/** Counts the framing of chunked encoding in what waits, as Node's response does. */
class FramedResponse extends MemoryResponse {
  override get writableLength(): number {
    const waiting = super.writableLength;
    return waiting === 0 ? 0 : waiting + 7 * this.writes;
  }
}

/** What its session does when it opens. */
function open(connection: Connection, openingLines: string): void {
  connection.sendHead();
  connection.start(openingLines);
}

describe('Connection', () => {
  it('writes nothing before it is opened, and then the opening lines at the head of the first block', () => {
    const { connection, response } = createConnection();
    connection.push(encodeData('a'));
    expect(response).toMatchObject({ isOpen: false, received: '' });
    open(connection, 'retry: 2000\n');
    expect(response).toMatchObject({ isOpen: true, received: 'retry: 2000\ndata: a\n\n' });
  });

  it('joins what it gets in one turn into one write', async () => {
    const { connection, response } = createConnection();
    open(connection, '');
    for (const data of ['a', 'b', 'c']) connection.push(encodeData(data));
    expect(response.writes).toBe(0);
    await turns(1);
    expect(response).toMatchObject({ writes: 1, received: 'data: a\n\ndata: b\n\ndata: c\n\n' });
    connection.push(encodeData('d'));
    await turns(1);
    expect(response.writes).toBe(2);
  });

  it('counts the events and the bytes that it has written', async () => {
    const { connection, response } = createConnection();
    open(connection, 'retry: 1\n');
    connection.push(encodeData('é'));
    connection.push(encodeComment('c'));
    await turns(1);
    expect(connection.eventsSent).toBe(1);
    expect(connection.bytesSent).toBe(Buffer.byteLength(response.received));
  });

  it('keeps what waits in its outbox, not in Node, while the response is full', async () => {
    const { connection, response } = createConnection({}, new MemoryResponse(1));
    response.pause();
    open(connection, '');
    connection.push(encodeData('a'));
    await turns(1);
    connection.push(encodeData('b'));
    await turns(1);
    expect(response.writableLength).toBe(9);
    expect(connection.pendingBytes).toBe(18);
    response.resume();
    expect(response.received).toBe('data: a\n\ndata: b\n\n');
    expect(connection.pendingBytes).toBe(0);
  });

  it('writes a large event in slices, one for each time that the response drains', async () => {
    const { connection, response } = createConnection({ buffer: { maxBytes: 1_000_000 } });
    const event = encodeData('é'.repeat(100_000));
    response.pause();
    open(connection, '');
    connection.push(event);
    await turns(1);
    let most = response.writableLength;
    while (connection.pendingBytes > 0) {
      response.resume();
      response.pause();
      await turns(1);
      most = Math.max(most, response.writableLength);
    }
    expect(most).toBeLessThanOrEqual(64 * 1024);
    expect(response.received).toBe(event.text);
    expect(connection.eventsSent).toBe(1);
  });

  describe('heartbeat', () => {
    const options: RouteOptions = { heartbeat: { intervalMs: 1_000, comment: 'beat' }, retryMs: false };

    it('is written whenever nothing was for the interval', () => {
      const { clock, connection, response } = createConnection(options);
      open(connection, '');
      clock.advance(999);
      expect(response.received).toBe('');
      clock.advance(51);
      expect(response.received).toBe(': beat\n');
      clock.advance(1_050);
      expect(response.received).toBe(': beat\n: beat\n');
    });

    it('is put off by every write', async () => {
      const { clock, connection, response } = createConnection(options);
      open(connection, '');
      for (let i = 0; i < 5; i++) {
        clock.advance(700);
        connection.push(encodeData('a'));
        await turns(1);
      }
      expect(response.received).not.toContain('beat');
      clock.advance(999);
      expect(response.received).not.toContain('beat');
      clock.advance(51);
      expect(response.received).toContain('beat');
    });

    it('is not written to a client that does not read', async () => {
      const { clock, connection, response } = createConnection(options, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      await turns(1);
      clock.advance(10_000);
      expect(response.writableLength).toBe(9);
    });

    it('is not written when it is switched off, and then no timer runs for it', () => {
      const { clock, connection, response } = createConnection({ heartbeat: false });
      open(connection, '');
      clock.advance(25_000);
      expect(response.received).toBe('');
    });

    it('is not written before the headers are out', () => {
      const { clock, response } = createConnection(options);
      clock.advance(10_000);
      expect(response.received).toBe('');
    });

    it('is written in UTF-8, and counted so', () => {
      const { clock, connection } = createConnection({ heartbeat: { intervalMs: 1_000, comment: 'é' } });
      open(connection, '');
      clock.advance(1_050);
      expect(connection.bytesSent).toBe(5);
    });
  });

  describe('stall', () => {
    const options: RouteOptions = { buffer: { stallTimeoutMs: 1_000 }, heartbeat: false };

    it('ends the connection when nothing moved for stallTimeoutMs while something waits', async () => {
      const { clock, wheel, connection, response, owner } = createConnection(options, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      clock.advance(5_000);
      connection.push(encodeData('a'));
      await turns(1);
      // at half of the time it is looked at first
      clock.advance(500);
      await turns(2);
      clock.advance(499);
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
      clock.advance(51);
      await turns(2);
      expect(owner.onConnectionEnd).toHaveBeenCalledWith(connection, 'stalled', undefined);
      expect(response.isDestroyed).toBe(true);
      expect(wheel.size).toBe(0);
    });

    it('spares a slow client that moves, however slowly', async () => {
      const { clock, connection, response, owner } = createConnection(options, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      for (let i = 0; i < 20; i++) {
        for (let j = 0; j < 3; j++) connection.push(encodeData('a'));
        await turns(1);
        clock.advance(900);
        response.resume();
        response.pause();
      }
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
    });

    it('spares a client to whom there is nothing to say', () => {
      const { clock, connection, response, owner } = createConnection(options);
      response.pause();
      open(connection, '');
      clock.advance(100_000);
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
    });

    it('counts from when something began to wait, not from the last movement before', async () => {
      const { clock, connection, response, owner } = createConnection(options, new MemoryResponse(1));
      open(connection, '');
      connection.push(encodeData('a'));
      await turns(1);
      clock.advance(30_000);
      response.pause();
      connection.push(encodeData('b'));
      await turns(1);
      clock.advance(550);
      await turns(2);
      clock.advance(400);
      await turns(2);
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
      clock.advance(100);
      await turns(2);
      expect(owner.onConnectionEnd).toHaveBeenCalledTimes(1);
    });

    it('is not put off by heartbeats, whose framing waits in Node beside what does not move', async () => {
      // below the high-water mark, so that heartbeats go on
      const response = new FramedResponse(64 * 1024);
      const { connection, owner, clock } = createConnection(
        { heartbeat: { intervalMs: 500 }, buffer: { stallTimeoutMs: 2_000 } },
        response,
      );
      open(connection, '');
      response.pause();
      connection.push(encodeData('x'.repeat(4_000)));
      await turns(1);
      for (let passed = 0; passed < 3_000 && owner.onConnectionEnd.mock.calls.length === 0; passed += 100) {
        clock.advance(100);
        await turns(1);
      }
      expect(clock.now()).toBeLessThan(2_700);
      expect(owner.onConnectionEnd).toHaveBeenCalledWith(connection, 'stalled', undefined);
    });

    it('is looked at once more when the event loop has turned: what was blocked is not the client', async () => {
      const response = new MemoryResponse(1);
      const { connection, owner, clock } = createConnection({ heartbeat: false, buffer: { stallTimeoutMs: 1_000 } }, response);
      open(connection, '');
      response.pause();
      connection.push(encodeData('a'));
      await turns(1);
      clock.advance(60_000);
      response.resume();
      await turns(2);
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
      expect(response.received).toBe('data: a\n\n');
    });

    it('has half of the time left after the first look, however late that comes', async () => {
      const { connection, response, owner, clock } = createConnection(options, new MemoryResponse(1));
      open(connection, '');
      response.pause();
      connection.push(encodeData('a'));
      await turns(1);
      clock.advance(60_000);
      await turns(2);
      expect(owner.onConnectionEnd).not.toHaveBeenCalled();
      clock.advance(550);
      await turns(2);
      expect(owner.onConnectionEnd).toHaveBeenCalledWith(connection, 'stalled', undefined);
    });
  });

  describe('end', () => {
    it('writes what waits, then the last words, and ends the response', async () => {
      const { connection, response, owner, wheel } = createConnection();
      open(connection, 'retry: 1\n');
      connection.push(encodeData('a'));
      connection.end([encodeData('end')], 1_000);
      expect(response).toMatchObject({ received: 'retry: 1\ndata: a\n\ndata: end\n\n', isEnded: true });
      await turns(1);
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'finished', undefined]]);
      expect(wheel.size).toBe(0);
    });

    it('closes the block of the opening lines when there was no event', () => {
      const { connection, response } = createConnection();
      open(connection, 'retry: 1\n');
      connection.end([], 1_000);
      expect(response.received).toBe('retry: 1\n\n');
    });

    it('closes the block when there were but comments', () => {
      const { connection, response, clock } = createConnection({ heartbeat: { intervalMs: 1_000 } });
      open(connection, '');
      clock.advance(1_050);
      connection.end([], 1_000);
      expect(response.received).toBe(': heartbeat\n\n');
    });

    it('adds no blank line when nothing was written at all, nor after an event', async () => {
      const silent = createConnection();
      open(silent.connection, '');
      silent.connection.end([], 1_000);
      expect(silent.response).toMatchObject({ received: '', isEnded: true });

      const { connection, response } = createConnection();
      open(connection, 'retry: 1\n');
      connection.push(encodeData('a'));
      await turns(1);
      connection.end([], 1_000);
      expect(response.received).toBe('retry: 1\ndata: a\n\n');
    });

    it('goes on writing for a client that reads late', async () => {
      const { connection, response, owner, clock } = createConnection({}, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      await turns(1);
      connection.push(encodeData('b'));
      connection.end([encodeData('end')], 5_000);
      expect(response.isEnded).toBe(false);
      clock.advance(4_000);
      response.resume();
      await turns(1);
      expect(response.received).toBe('data: a\n\ndata: b\n\ndata: end\n\n');
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'finished', undefined]]);
    });

    it('cuts off at the deadline a client that does not take the rest', async () => {
      const { connection, response, owner, clock, wheel } = createConnection({}, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      await turns(1);
      connection.end([], 5_000);
      clock.advance(4_999);
      expect(response.isDestroyed).toBe(false);
      clock.advance(51);
      expect(response.isDestroyed).toBe(true);
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'stalled', undefined]]);
      expect(wheel.size).toBe(0);
    });

    it('sends no heartbeat any more, and takes no event', async () => {
      const { connection, response, clock } = createConnection({ heartbeat: { intervalMs: 100 } }, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      await turns(1);
      connection.end([], 5_000);
      clock.advance(1_000);
      response.resume();
      clock.advance(1_000);
      expect(response.received).toBe('data: a\n\n');
    });
  });

  describe('a client that leaves', () => {
    it('is told of once, with the error of the socket', () => {
      const { connection, response, owner, wheel } = createConnection();
      open(connection, '');
      const error = new Error('ECONNRESET');
      response.disconnect(error);
      response.disconnect();
      connection.destroy();
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'left', error]]);
      expect(connection.isClosed).toBe(true);
      expect(wheel.size).toBe(0);
    });

    it('is told of at once when it left before the connection was attached', () => {
      const response = new MemoryResponse();
      response.isGone = true;
      const { owner } = createConnection({}, response);
      expect(owner.onConnectionEnd).toHaveBeenCalledTimes(1);
    });

    it('is found by the next alarm when nobody told of it', () => {
      const { connection, response, owner, clock } = createConnection();
      open(connection, '');
      response.isGone = true;
      clock.advance(15_050);
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'left', undefined]]);
    });

    it('gets nothing more', async () => {
      const { connection, response, owner } = createConnection();
      open(connection, '');
      connection.push(encodeData('a'));
      response.disconnect();
      await turns(1);
      connection.end([], 10);
      expect(response.writes).toBe(0);
      expect(owner.onConnectionEnd).toHaveBeenCalledTimes(1);
      expect(connection.pendingBytes).toBe(0);
    });
  });

  describe('a response that throws, as middleware may make it', () => {
    class BrokenResponse extends MemoryResponse {
      breaksAt: 'write' | 'end' | undefined;
      override write(chunk: string | Buffer): boolean {
        if (this.breaksAt === 'write') throw new Error('broken');
        return super.write(chunk);
      }
      override end(): void {
        if (this.breaksAt === 'end') throw new Error('broken');
        super.end();
      }
    }

    it.each(['write', 'end'] as const)('ends the connection as left when it does so at %s', (breaksAt) => {
      const response = new BrokenResponse();
      const { connection, owner, wheel } = createConnection({}, response);
      open(connection, '');
      connection.push(encodeData('a'));
      response.breaksAt = breaksAt;
      connection.end([], 1_000);
      expect(owner.onConnectionEnd.mock.calls).toEqual([[connection, 'left', new Error('broken')]]);
      expect(response.isDestroyed).toBe(true);
      expect(wheel.size).toBe(0);
    });

    it('leaves no timer behind when it does so at the first write', () => {
      const response = new BrokenResponse();
      response.breaksAt = 'write';
      const { connection, owner, wheel } = createConnection({}, response);
      open(connection, 'retry: 1\n');
      expect(owner.onConnectionEnd).toHaveBeenCalledTimes(1);
      expect(wheel.size).toBe(0);
    });
  });

  describe('backpressure', () => {
    it('takes no more while the response is full, and says once when it does again', async () => {
      const { connection, response, owner } = createConnection({}, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      expect(connection.isReady).toBe(true);
      connection.push(encodeData('a'));
      await turns(1);
      expect(connection.isReady).toBe(false);
      connection.tellWhenReady();
      await turns();
      expect(owner.onReady).not.toHaveBeenCalled();
      response.resume();
      await turns(1);
      expect(connection.isReady).toBe(true);
      expect(owner.onReady).toHaveBeenCalledTimes(1);
      response.resume();
      await turns(1);
      expect(owner.onReady).toHaveBeenCalledTimes(1);
    });

    it('takes no more while anything waits for the connection to open, and says so when it has', async () => {
      const { connection, owner } = createConnection();
      expect(connection.isReady).toBe(true);
      connection.push(encodeData('a'));
      expect(connection.isReady).toBe(false);
      connection.tellWhenReady();
      open(connection, '');
      await turns(1);
      expect(owner.onReady).toHaveBeenCalledTimes(1);
    });

    it('takes no more while 64 KB wait for the end of the turn', async () => {
      const { connection } = createConnection();
      open(connection, '');
      connection.push(encodeData('x'.repeat(65_000)));
      expect(connection.isReady).toBe(true);
      connection.push(encodeData('x'.repeat(1_000)));
      expect(connection.isReady).toBe(false);
      await turns(1);
      expect(connection.isReady).toBe(true);
    });
  });

  it('writes at once what the response still takes when an event finds no room, so that a large turn loses nothing', async () => {
    const { connection, response } = createConnection({ buffer: { maxBytes: 20 } });
    open(connection, '');
    for (let i = 0; i < 10; i++) expect(connection.push(encodeData(`event ${i}`))).toBe(0);
    await turns(1);
    expect(response.received).toBe(Array.from({ length: 10 }, (_, i) => `data: event ${i}\n\n`).join(''));

    const full = createConnection({ buffer: { maxBytes: 20 } }, new MemoryResponse(1));
    full.response.pause();
    open(full.connection, '');
    expect(['a', 'b', 'c', 'd', 'e'].map((data) => full.connection.push(encodeData(data)))).toEqual([0, 0, 0, 0, 'overflow']);
  });

  describe('flushed', () => {
    it('resolves when all has been handed to the kernel, and not before', async () => {
      const { connection, response } = createConnection({}, new MemoryResponse(1));
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      const flushed = jest.fn();
      void connection.flushed().then(flushed);
      await turns();
      expect(flushed).not.toHaveBeenCalled();
      response.resume();
      await turns();
      expect(flushed).toHaveBeenCalledTimes(1);
    });

    it('writes at once what waits for the end of the turn', () => {
      const { connection, response } = createConnection();
      open(connection, '');
      connection.push(encodeData('a'));
      void connection.flushed();
      expect(response.received).toBe('data: a\n\n');
    });

    it('notices a response that empties without a drain, as Node drains only when it was full', async () => {
      const { connection, response, clock } = createConnection();
      response.pause();
      open(connection, '');
      connection.push(encodeData('a'));
      const flushed = jest.fn();
      void connection.flushed().then(flushed);
      await turns();
      expect(flushed).not.toHaveBeenCalled();
      response.resume();
      clock.advance(100);
      await turns();
      expect(flushed).toHaveBeenCalledTimes(1);
    });

    it('waits for the opening, and is let go when the connection closes', async () => {
      const { connection } = createConnection();
      connection.push(encodeData('a'));
      const opened = jest.fn();
      void connection.flushed().then(opened);
      await turns();
      expect(opened).not.toHaveBeenCalled();
      open(connection, '');
      await connection.flushed();
      expect(opened).toHaveBeenCalledTimes(1);

      const { connection: closing } = createConnection();
      closing.push(encodeData('a'));
      const flushed = closing.flushed();
      closing.destroy();
      await flushed;
      await closing.flushed();
    });
  });

  it('counts what it drops: an event that does not fit is one, a comment none', () => {
    const { connection } = createConnection({ buffer: { maxBytes: 20, overflow: 'drop-oldest' } });
    for (let i = 0; i < 5; i++) connection.push(encodeData('12345'));
    expect(connection.eventsDropped).toBe(4);

    const closing = createConnection({ buffer: { maxBytes: 20 } }).connection;
    closing.push(encodeData('12345678901'));
    expect(closing.push(encodeComment('a comment'))).toBe('overflow');
    expect(closing.eventsDropped).toBe(0);
    expect(closing.push(encodeData('an event'))).toBe('overflow');
    expect(closing.eventsDropped).toBe(1);
  });

  it('leaves a response that was never opened to others', () => {
    const { connection, response, owner } = createConnection();
    connection.push(encodeData('a'));
    connection.release();
    response.disconnect();
    expect(response).toMatchObject({ isOpen: false, isEnded: false, isDestroyed: false, received: '' });
    expect(owner.onConnectionEnd).not.toHaveBeenCalled();
  });
});
