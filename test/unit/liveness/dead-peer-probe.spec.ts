import { describe, expect, it, jest } from '@jest/globals';
import { TimerWheel } from '../../../lib/clock/timer-wheel.js';
import { DeadPeerProbe, type Peer } from '../../../lib/liveness/dead-peer-probe.js';
import { type TcpSocket, type TcpSockets, tcpKey } from '../../../lib/liveness/tcp-table.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { turns } from '../../support/memory-session.js';

const TIMEOUT_MS = 30_000;

class FakePeer implements Peer {
  readonly endpoints;
  bytesHandedOver = 1_000;
  readonly onDeadPeer = jest.fn<() => void>();
  readonly onUnheardLeave = jest.fn<() => void>();

  constructor(
    remotePort: number,
    readonly deadPeerTimeoutMs: number | false = TIMEOUT_MS,
  ) {
    this.endpoints = { localAddress: '127.0.0.1', localPort: 80, remoteAddress: '127.0.0.1', remotePort };
  }

  get remotePort(): number {
    return this.endpoints.remotePort;
  }

  acknowledgedBytes(unacknowledgedBytes: number): number {
    return this.bytesHandedOver - unacknowledgedBytes;
  }

  get key(): string {
    return tcpKey(this.endpoints);
  }
}

/** A probe on a fake clock and a table that the test writes. */
function createProbe(...peers: FakePeer[]) {
  const clock = new FakeClock();
  const table = new Map<string, TcpSocket>();
  const looks: number[] = [];
  const warnings: string[] = [];
  const read = jest.fn(async (): Promise<TcpSockets> => {
    looks.push(clock.now());
    return new Map(table);
  });
  const probe = new DeadPeerProbe(new TimerWheel(clock), peers, read, (message) => warnings.push(message));
  probe.isAvailable = true;
  for (const peer of peers) probe.watch(peer);
  /** Moves the time in steps, so that each look can end before the next. */
  const pass = async (ms: number, step = 500) => {
    for (let passed = 0; passed < ms; passed += step) {
      clock.advance(Math.min(step, ms - passed));
      await turns(1);
    }
  };
  const silent = (peer: FakePeer, silentMs: number, retransmits = 3, unacknowledgedBytes = 20) =>
    table.set(peer.key, { hasLeft: false, retransmits, unacknowledgedBytes, silentMs });
  return { clock, table, looks, warnings, read, probe, pass, silent };
}

describe('the probe for dead peers', () => {
  it('looks every 0.8 x timeoutMs while nobody is suspected, and never while nobody is there', async () => {
    const { looks, pass, probe } = createProbe(new FakePeer(1));
    await pass(100_000);
    expect(looks).toEqual([24_000, 48_000, 72_000, 96_000]);
    probe.rest();
    await pass(100_000);
    expect(looks).toHaveLength(4);
  });

  it('looks as often as the shortest timeout wants, and for nobody who is not to be watched', async () => {
    const unwatched = createProbe(new FakePeer(1, false));
    await unwatched.pass(100_000);
    expect(unwatched.looks).toEqual([]);
    const { looks, pass } = createProbe(new FakePeer(1), new FakePeer(2, 5_000));
    await pass(12_000);
    expect(looks).toEqual([4_000, 8_000, 12_000]);
  });

  it('ends a peer that has been silent for timeoutMs, never earlier and at most 2 s later, whenever it fell silent', async () => {
    for (let diedAt = 0; diedAt < 24_000; diedAt += 1_700) {
      const peer = new FakePeer(1);
      const { clock, pass, silent } = createProbe(peer);
      let endedAt = 0;
      peer.onDeadPeer.mockImplementation(() => void (endedAt ||= clock.now()));
      for (let now = 0; now < 60_000 && endedAt === 0; now += 250) {
        // a retransmission or two have to have been, and the kernel knows of 200 ms less
        if (clock.now() - diedAt > 600) silent(peer, clock.now() - diedAt - 200);
        await pass(250, 250);
      }
      expect(endedAt - diedAt).toBeGreaterThanOrEqual(TIMEOUT_MS);
      expect(endedAt - diedAt).toBeLessThanOrEqual(TIMEOUT_MS + 2_000);
    }
  });

  it('looks once for suspects whose time is up at about the same time, and no more than 2 s late for any', async () => {
    const peers = Array.from({ length: 40 }, (_, n) => new FakePeer(n + 1));
    const { clock, looks, pass, silent, read, table } = createProbe(...peers);
    read.mockImplementation(() => {
      looks.push(clock.now());
      const seen = new Map(table);
      return new Promise((resolve) => clock.schedule(() => resolve(seen), 200));
    });
    const diedAt = peers.map((_, n) => n * 100);
    const late: number[] = [];
    peers.forEach((peer, n) =>
      peer.onDeadPeer.mockImplementation(() => (table.delete(peer.key), void late.push(clock.now() - diedAt[n]! - TIMEOUT_MS))),
    );
    for (let now = 0; now < 45_000; now += 100) {
      peers.forEach((peer, n) => {
        const silentMs = clock.now() - diedAt[n]! - 300;
        if (silentMs > 500 && peer.onDeadPeer.mock.calls.length === 0) silent(peer, silentMs);
      });
      await pass(100, 100);
    }
    expect(late).toHaveLength(40);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...late)).toBeLessThanOrEqual(2_000);
    const gaps = looks.slice(1).map((at, n) => at - looks[n]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1_300);
  });

  it('looks again at a suspect when its time is up, and not before', async () => {
    const peer = new FakePeer(1);
    const { looks, pass, silent } = createProbe(peer);
    silent(peer, 10_000);
    await pass(24_000);
    silent(peer, 30_000, 9);
    await pass(21_000);
    expect(looks).toEqual([24_000, 44_000]);
    expect(peer.onDeadPeer).toHaveBeenCalledTimes(1);
  });

  it.each<[string, (peer: FakePeer, silent: (peer: FakePeer, silentMs: number, retransmits?: number, bytes?: number) => void) => void]>([
    ['acknowledged something, although it is silent again', (peer, silent) => (silent(peer, 9_000, 4, 20), (peer.bytesHandedOver += 500))],
    ['been sent something for the first time since', (peer, silent) => silent(peer, 400, 1)],
  ])('lets a suspect live that has meanwhile %s', async (_what, move) => {
    const peer = new FakePeer(1);
    const { pass, silent, table } = createProbe(peer);
    silent(peer, 10_000);
    await pass(24_000);
    move(peer, silent);
    await pass(20_000);
    expect(peer.onDeadPeer).not.toHaveBeenCalled();
    table.clear();
    await pass(60_000);
    expect(peer.onDeadPeer).not.toHaveBeenCalled();
  });

  it('keeps the count when the kernel shows less of it later: its timeouts do not double when the network card is down', async () => {
    const peer = new FakePeer(1);
    const { pass, silent } = createProbe(peer);
    silent(peer, 10_000, 4);
    await pass(24_000);
    silent(peer, 3_000, 30);
    await pass(20_000);
    expect(peer.onDeadPeer).toHaveBeenCalledTimes(1);
  });

  it('ends nobody too early by a look that takes long, or that a blocked event loop held up', async () => {
    const peer = new FakePeer(1);
    const { clock, read, looks, pass, table, silent } = createProbe(peer);
    const slowLook = (silentMs: number) => {
      const seen = new Map(table).set(peer.key, { hasLeft: false, retransmits: 9, unacknowledgedBytes: 20, silentMs });
      read.mockImplementationOnce(() => {
        looks.push(clock.now());
        return new Promise((resolve) => clock.schedule(() => resolve(seen), 10_000));
      });
    };
    // read at its end, so 10 s after it began: silent since 9 s
    slowLook(25_000);
    await pass(34_000);
    expect(looks).toEqual([24_000]);
    // due at 39 s by what is known, and looked at then
    silent(peer, 29_000, 10);
    await pass(4_900);
    expect(peer.onDeadPeer).not.toHaveBeenCalled();
    await pass(1_000);
    expect(looks).toEqual([24_000, 39_000]);
    expect(peer.onDeadPeer).toHaveBeenCalledTimes(1);
  });

  it('tells of a peer that has left and of which nobody has heard', async () => {
    const peer = new FakePeer(1);
    const { pass, table } = createProbe(peer, new FakePeer(2));
    table.set(peer.key, { hasLeft: true, retransmits: 0, unacknowledgedBytes: 0, silentMs: 0 });
    await pass(24_000);
    expect(peer.onUnheardLeave).toHaveBeenCalledTimes(1);
    expect(peer.onDeadPeer).not.toHaveBeenCalled();
  });

  it('says once, and not of each peer, that the table cannot be read', async () => {
    const { probe, pass, read, warnings } = createProbe(new FakePeer(1));
    read.mockRejectedValue(Object.assign(new Error('ENOENT'), { code: 'ENOENT' }));
    await pass(100_000);
    probe.watch(new FakePeer(2));
    expect(read).toHaveBeenCalledTimes(1);
    expect(probe.isAvailable).toBe(false);
    expect(warnings).toEqual([expect.stringContaining('ENOENT')]);
  });

  it('tries again soon when the table cannot be read for a while', async () => {
    const peer = new FakePeer(1);
    const { probe, pass, read, looks, silent, warnings } = createProbe(peer);
    read.mockRejectedValueOnce(Object.assign(new Error('no descriptor is free'), { code: 'EMFILE' }));
    silent(peer, 40_000);
    await pass(26_000);
    expect(looks).toEqual([25_300]);
    expect(peer.onDeadPeer).toHaveBeenCalledTimes(1);
    expect([probe.isAvailable, warnings]).toEqual([true, [expect.stringContaining('no descriptor is free')]]);
  });
});
