import type { TimerWheel } from '../clock/timer-wheel.js';
import { DeadPeerProbe } from '../liveness/dead-peer-probe.js';
import type { SilentSockets } from '../liveness/tcp-table.js';
import type { Connection, ConnectionContext } from './connection.js';
import { FlushQueue } from './flush-queue.js';

/** Between two measurements of what waits, as a part of `maxTotalBytes`: by so much the limit may be exceeded. */
const SLACK = 1 / 64;

/**
 * All connections of an application, and what they share: the writing at the end of a turn, the probe for dead peers, and the bytes that may
 * wait in the whole process.
 *
 * What waits changes with every event and with everything that the kernel takes, which nobody tells. So only what is pushed is counted as it
 * comes, which is too much; when that might be more than the limit, all connections are asked. Those with most waiting then end until the rest fits.
 */
export class Connections implements ConnectionContext {
  readonly flushQueue = new FlushQueue();
  readonly probe: DeadPeerProbe;
  readonly #attached = new Set<Connection>();
  #pushedSince = 0;
  #measureAfter: number;

  /** @param readSilentSockets see {@link DeadPeerProbe} */
  constructor(
    readonly wheel: TimerWheel,
    private readonly maxTotalBytes: number,
    readSilentSockets: () => Promise<SilentSockets>,
    warn: (message: string) => void,
  ) {
    this.#measureAfter = maxTotalBytes;
    this.probe = new DeadPeerProbe(wheel, this, readSilentSockets, warn);
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#attached.values();
  }

  onAttached(connection: Connection): void {
    this.#attached.add(connection);
    this.probe.watch(connection);
  }

  onPushed(bytes: number): void {
    this.#pushedSince += bytes;
    if (this.#pushedSince > this.#measureAfter) this.#makeRoom();
  }

  onClosed(connection: Connection): void {
    this.#attached.delete(connection);
    this.probe.forget(connection);
    if (this.#attached.size === 0) this.probe.rest();
  }

  #makeRoom(): void {
    let waiting = 0;
    const byPending: [connection: Connection, bytes: number][] = [];
    for (const connection of this.#attached) {
      const { pendingBytes } = connection;
      waiting += pendingBytes;
      byPending.push([connection, pendingBytes]);
    }
    const crowded: Connection[] = [];
    if (waiting > this.maxTotalBytes) {
      byPending.sort(([, a], [, b]) => b - a);
      for (const [connection, bytes] of byPending) {
        if (waiting <= this.maxTotalBytes) break;
        waiting -= bytes;
        crowded.push(connection);
      }
    }
    this.#pushedSince = 0;
    this.#measureAfter = Math.max(this.maxTotalBytes - waiting, this.maxTotalBytes * SLACK);
    // hooks run in these, and may push
    for (const connection of crowded) connection.crowdOut();
  }
}
