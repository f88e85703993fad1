import { type TimerWheel, Alarm } from '../clock/timer-wheel.js';
import { describeError } from '../errors.js';
import { type ReadTcpTables, type TcpEndpoints, type TcpSocket, type TcpSockets, isPermanent, remotePortOf, tcpKey } from './tcp-table.js';

/** A connection whose peer is watched. */
export interface Peer {
  /** How long it may acknowledge nothing, in milliseconds; `false` when it is not watched. */
  readonly deadPeerTimeoutMs: number | false;
  /** A cheap look at the endpoints. */
  readonly remotePort: number | undefined;
  /** Absent when it is not known any more. */
  readonly endpoints: TcpEndpoints | undefined;
  /** What it has acknowledged, in bytes, when the kernel says that so much is unacknowledged. */
  acknowledgedBytes(unacknowledgedBytes: number): number | undefined;
  /** It has acknowledged nothing for {@link deadPeerTimeoutMs}. */
  onDeadPeer(): void;
  /** It has gone, and nobody has heard of it. */
  onUnheardLeave(): void;
}

interface Suspect extends TcpSocket {
  /** Since when at the latest it has acknowledged nothing, by the clock. */
  readonly since: number;
  readonly acknowledgedBytes: number;
}

/** Between two looks while nobody is suspected, as a part of the shortest timeout: so that a suspect is known before its time is up. */
const IDLE_LOOK = 0.8;

/**
 * Between the beginnings of two looks at suspects, at least: a look costs up to 100 ms of CPU at 10,000 connections. Not more, as the kernel knows of some 300 ms
 * less than there were, and a suspect must be ended 2 s after its time at the latest. There is a look only when somebody's time is up.
 */
const SPACING_MS = 1_300;

/** By so much a suspect may wait for others. */
const TOGETHER_MS = 300;

/**
 * Finds peers that have vanished without a word. Heartbeats do not: the kernel takes the writes, sends them again and again for a quarter of an
 * hour, and meanwhile suspends TCP keepalive. The kernel itself knows how long a peer has been silent, and one read of its tables tells
 * it of all connections. It is looked at rarely, and again when the time of a suspect is up, which must not have moved since: what was
 * unacknowledged still is, and its retransmissions have gone on.
 */
export class DeadPeerProbe extends Alarm {
  /** Whether the kernel's tables can be read, as far as is known. */
  isAvailable = process.platform === 'linux';

  #suspects = new Map<Peer, Suspect>();
  #isLooking = false;
  #lookedAt = -Infinity;
  #hasFailed = false;
  #hasWarned = false;

  constructor(
    private readonly wheel: TimerWheel,
    private readonly peers: Iterable<Peer>,
    private readonly read: ReadTcpTables,
    private readonly warn: (message: string) => void,
  ) {
    super();
  }

  /** A peer has come that is to be watched. */
  watch({ deadPeerTimeoutMs }: Peer): void {
    if (deadPeerTimeoutMs === false) return;
    if (!this.isAvailable) this.#giveUp(`not on ${process.platform}`);
    else if (!this.#isLooking) this.wheel.setNoLaterThan(this, this.wheel.clock.now() + IDLE_LOOK * deadPeerTimeoutMs);
  }

  /** A peer is not to be watched any more. */
  forget(peer: Peer): void {
    this.#suspects.delete(peer);
  }

  /** Nobody is there any more. */
  rest(): void {
    this.wheel.cancel(this);
  }

  onAlarm(): number {
    void this.#look();
    return Infinity;
  }

  async #look(): Promise<void> {
    this.#isLooking = true;
    this.#lookedAt = this.wheel.clock.now();
    const silent = await this.read('silent').catch((error: unknown) => this.#onUnreadable(error));
    this.#isLooking = false;
    if (silent) {
      this.#hasFailed = false;
      this.#judge(silent);
    }
    if (this.isAvailable) this.wheel.set(this, this.#nextLook());
  }

  /** Tables that are not there will not be; anything else, such as no free file descriptor, may pass. */
  #onUnreadable(error: unknown): void {
    if (isPermanent(error)) return this.#giveUp(describeError(error));
    if (!this.#hasFailed)
      this.warn(`The kernel's table of TCP connections cannot be read at present, and is tried again: ${describeError(error)}`);
    this.#hasFailed = true;
  }

  /**
   * What the kernel said was true at some time between the beginning of the look and now. A suspect counts as silent since the latest time that it may
   * mean, and its time is up when it was at the earliest: a look that takes long, or that a blocked event loop held up, ends nobody too early.
   */
  #judge(silent: TcpSockets): void {
    const now = this.wheel.clock.now();
    const suspects = new Map<Peer, Suspect>();
    const dead: Peer[] = [];
    const left: Peer[] = [];
    const ports = new Set<number | undefined>([...silent.keys()].map(remotePortOf));
    for (const peer of this.peers) {
      const { deadPeerTimeoutMs } = peer;
      // there are many, and few are silent
      if (deadPeerTimeoutMs === false || !ports.has(peer.remotePort)) continue;
      const { endpoints } = peer;
      const socket = endpoints && silent.get(tcpKey(endpoints));
      if (!socket) continue;
      const suspect = this.#suspect(peer, socket, now);
      if (socket.hasLeft) left.push(peer);
      else if (this.#lookedAt - suspect.since >= deadPeerTimeoutMs) dead.push(peer);
      else suspects.set(peer, suspect);
    }
    this.#suspects = suspects;
    // hooks run in these: not while the sessions are gone through
    for (const peer of dead) peer.onDeadPeer();
    for (const peer of left) peer.onUnheardLeave();
  }

  #suspect(peer: Peer, socket: TcpSocket, now: number): Suspect {
    const acknowledgedBytes = peer.acknowledgedBytes(socket.unacknowledgedBytes) ?? 0;
    const since = now - socket.silentMs;
    const known = this.#suspects.get(peer);
    const hasMoved = !known || socket.retransmits < known.retransmits || acknowledgedBytes > known.acknowledgedBytes;
    return { ...socket, acknowledgedBytes, since: hasMoved ? since : Math.min(since, known.since) };
  }

  /** When the tables are read next: `Infinity` when nobody is there. */
  #nextLook(): number {
    const now = this.wheel.clock.now();
    let next = Infinity;
    const soonest = Math.max(now, this.#lookedAt + SPACING_MS);
    for (const { deadPeerTimeoutMs } of this.peers) {
      if (deadPeerTimeoutMs !== false) next = Math.min(next, this.#hasFailed ? soonest : now + IDLE_LOOK * deadPeerTimeoutMs);
    }
    if (this.#suspects.size === 0) return next;
    const due = [...this.#suspects].map(([{ deadPeerTimeoutMs }, { since }]) => since + (deadPeerTimeoutMs as number));
    const first = Math.min(...due);
    // those whose time is up soon after the first's are looked at with it
    const together = Math.max(...due.filter((time) => time <= first + TOGETHER_MS));
    return Math.min(next, Math.max(soonest, together));
  }

  #giveUp(why: string): void {
    this.isAvailable = false;
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.warn(
      `The kernel's table of TCP connections cannot be read (${why}): a client that vanishes without a word over HTTP/1.1 is not noticed here ` +
        'before timeoutMs, idleTimeoutMs or a full buffer ends its session.',
    );
  }
}
