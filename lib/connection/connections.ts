import type { TimerWheel } from '../clock/timer-wheel.js';
import { DeadPeerProbe } from '../liveness/dead-peer-probe.js';
import { TcpLookUp } from '../liveness/tcp-look-up.js';
import type { ReadTcpTables } from '../liveness/tcp-table.js';
import type { Connection, ConnectionContext } from './connection.js';
import { FlushQueue } from './flush-queue.js';
import { heldBytes } from './held-bytes.js';

/** Between two measurements of what waits, as a part of `maxTotalBytes`: by so much the limit may be exceeded. */
const SLACK = 1 / 64;

/**
 * All connections of an application, and what they share: the writing at the end of a turn, what the kernel knows of them, and the bytes
 * that may wait in the whole process.
 *
 * What waits in the outboxes is known at any time. What Node holds is not, as nobody tells when the kernel has taken it: so all that is
 * written is counted, which is too much, and when that might be more than the limit, all connections are asked. What does not fit then
 * is taken from those that do not read and have most waiting.
 */
export class Connections implements ConnectionContext {
  readonly flushQueue = new FlushQueue();
  readonly lookUp: TcpLookUp;
  readonly probe: DeadPeerProbe;
  readonly #attached = new Set<Connection>();
  /** Of Node, at the last measurement. */
  #inNode = 0;
  #writtenSince = 0;
  #pushedSince = 0;
  #measuresSoon = false;
  #isMakingRoom = false;
  #emptyWaiters: (() => void)[] = [];

  constructor(
    readonly wheel: TimerWheel,
    private readonly maxTotalBytes: number,
    read: ReadTcpTables,
    warn: (message: string) => void,
  ) {
    this.lookUp = new TcpLookUp(read);
    this.probe = new DeadPeerProbe(wheel, this, read, warn);
  }

  /** Resolves when none is left. */
  empty(): Promise<void> {
    return this.#attached.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  get size(): number {
    return this.#attached.size;
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
    if (heldBytes.total + this.#inNode + this.#writtenSince > this.maxTotalBytes) this.#measure();
  }

  onWritten(bytes: number): void {
    this.#writtenSince += bytes;
  }

  onClosed(connection: Connection): void {
    this.#attached.delete(connection);
    this.probe.forget(connection);
    if (this.#attached.size > 0) return;
    this.probe.rest();
    const waiters = this.#emptyWaiters;
    this.#emptyWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #measure(): void {
    if (this.#pushedSince + this.#writtenSince < this.maxTotalBytes * SLACK) return;
    // the outboxes alone must not exceed the limit, not even in one turn; what was written in this turn is with the kernel after it
    if (heldBytes.total > this.maxTotalBytes) this.#makeRoom();
    else if (!this.#measuresSoon) {
      this.#measuresSoon = true;
      setImmediate(() => {
        this.#measuresSoon = false;
        this.#makeRoom();
      });
    }
  }

  #makeRoom(): void {
    if (this.#isMakingRoom) return;
    this.#isMakingRoom = true;
    try {
      for (const connection of this.#attached) connection.flush();
      this.#inNode = 0;
      for (const { bytesInNode } of this.#attached) this.#inNode += bytesInNode;
      this.#pushedSince = this.#writtenSince = 0;
      if (!this.#fits) this.#crowdOut();
    } finally {
      this.#isMakingRoom = false;
    }
  }

  get #fits(): boolean {
    return heldBytes.total + this.#inNode <= this.maxTotalBytes;
  }

  #crowdOut(): void {
    const weighed = [...this.#attached].map((connection) => ({
      connection,
      isBlocked: connection.isBlocked,
      bytes: connection.heldBytes,
    }));
    weighed.sort((a, b) => Number(b.isBlocked) - Number(a.isBlocked) || b.bytes - a.bytes);
    for (const { connection, bytes } of weighed) {
      // another application of the process may hold the rest
      if (this.#fits || bytes === 0) return;
      this.#inNode -= connection.bytesInNode;
      // hooks run in this, and may push to others
      connection.crowdOut();
    }
  }
}
