import type { Clock } from '../clock/clock.js';
import type { EncodedEvent } from '../event/encode.js';
import type { LogLimits } from '../log/event-log.js';
import { loggedBytes } from '../log/logged-bytes.js';
import { type LogAccount, MemoryLog } from '../log/memory-log.js';
import { resumeToken } from './resume-id.js';
import type { SessionDirectory } from './session-directory.js';
import { type Ending, type LogAddress, SessionLog } from './session-log.js';

/** How many ended sessions are remembered at most, and for how long. */
export const MAX_ENDED = 10_000;
export const ENDED_MS = 10 * 60_000;

/** When the logs take too much: how many are halved with an event, so that no event takes long. */
const HALVINGS = 16;
/** How much is made free beyond what is too much; and by how much more it is looked at again when there was nothing to let go of. Of the limit. */
const SLACK = 1 / 64;

/** The engine in memory: all sessions are those of this process. */
export class MemoryDirectory implements SessionDirectory, LogAccount<EncodedEvent> {
  /** By token: the live ones, and in the order of their ends those that are over. */
  readonly #live = new Map<string, SessionLog>();
  readonly #ended = new Map<string, SessionLog>();
  readonly #byKey = new Map<string, SessionLog>();
  /** Of those that are over, the ones whose events are still there, the oldest first. */
  readonly #tails = new Set<SessionLog>();
  /** While room is made: live ones that are to be halved, the longest last. */
  #tooLong: SessionLog[] = [];
  /** From here on somebody has to give way. */
  #roomUpTo: number;
  /** Down to here, so that it need not be looked at with each event. */
  readonly #enough: number;
  readonly #slack: number;

  constructor(
    private readonly clock: Clock,
    private readonly maxTotalBytes: number,
  ) {
    this.#roomUpTo = maxTotalBytes;
    this.#slack = maxTotalBytes * SLACK;
    this.#enough = maxTotalBytes * (1 - SLACK);
  }

  get held(): { readonly ended: number; readonly bytes: number } {
    return { ended: this.#ended.size, bytes: loggedBytes.total };
  }

  open(sessionId: string, address: LogAddress, limits: LogLimits): SessionLog {
    const token = resumeToken();
    const log = new SessionLog(token, sessionId, address, new MemoryLog<EncodedEvent>(token, limits, undefined, this));
    this.#live.set(token, log);
    const name = nameOf(address);
    if (name !== undefined) this.#byKey.set(name, log);
    return log;
  }

  find(token: string): SessionLog | undefined {
    const log = this.#live.get(token) ?? this.#ended.get(token);
    return log && !this.#isExpired(log) ? log : undefined;
  }

  findByKey(address: LogAddress): SessionLog | undefined {
    const name = nameOf(address);
    return name === undefined ? undefined : this.#byKey.get(name);
  }

  /** There is no other node. */
  read(): () => void {
    return () => undefined;
  }

  end(log: SessionLog, ending: Ending): void {
    if (!this.#live.has(log.token)) return;
    this.#unlist(log);
    log.end(ending);
    // after the others a new one starts: nobody comes for their rest, and the session lets go of it when its connections have it
    if (ending.after === 'stop') this.#tails.add(log);
    this.#ended.set(log.token, log);
    if (this.#ended.size > MAX_ENDED) this.#forgetOldest();
  }

  forget(log: SessionLog): void {
    this.#unlist(log);
    log.clear();
  }

  expire(): void {
    for (const log of this.#ended.values()) {
      if (!this.#isExpired(log)) return;
      this.#forgetEnded(log);
    }
  }

  dispose(): void {
    for (const log of [...this.#live.values(), ...this.#ended.values()]) log.clear();
    for (const known of [this.#live, this.#ended, this.#byKey, this.#tails]) known.clear();
    this.#tooLong = [];
  }

  cancel(): boolean {
    return false;
  }

  cancelAll(): number {
    return 0;
  }

  hold(event: EncodedEvent): void {
    loggedBytes.hold(event);
  }

  release(event: EncodedEvent): void {
    loggedBytes.release(event);
  }

  onAppended(): void {
    if (loggedBytes.total > this.#roomUpTo) this.#makeRoom();
    else if (loggedBytes.total <= this.#enough) this.#relax();
    // what nobody could let go of becomes less
    else if (loggedBytes.total + this.#slack < this.#roomUpTo)
      this.#roomUpTo = Math.max(this.maxTotalBytes, loggedBytes.total + this.#slack);
  }

  /** When all logs together take too much, the events of the oldest ended ones go; then the longer ones of those that live lose the older half. */
  #makeRoom(): void {
    for (const log of this.#tails) {
      this.#dropTail(log);
      if (loggedBytes.total <= this.#enough) return this.#relax();
    }
    // what many logs share goes when the last of them lets go of it
    for (let n = 0; n < HALVINGS; n++) {
      const hasGiven = this.#halveLongest();
      if (loggedBytes.total <= this.#enough) return this.#relax();
      if (hasGiven) continue;
      // another application of the process may hold the rest, and each look goes through all logs
      this.#roomUpTo = loggedBytes.total + this.#slack;
      return;
    }
    // goes on with the next event
    this.#roomUpTo = this.#enough;
  }

  /** There is room again. */
  #relax(): void {
    this.#roomUpTo = this.maxTotalBytes;
    if (this.#tooLong.length > 0) this.#tooLong = [];
  }

  /** Goes in rounds through those that are longer than the average. `false` when none has anything to give. */
  #halveLongest(): boolean {
    if (this.#tooLong.length === 0) this.#tooLong = this.#longerOnes();
    const log = this.#tooLong.pop();
    if (!log) return false;
    const { events } = log;
    for (const half = events.bytes / 2; events.size > 1 && events.bytes > half;) events.dropOldest();
    return true;
  }

  #longerOnes(): SessionLog[] {
    const logs = [...this.#live.values()].filter(({ events }) => events.size > 1);
    const average = logs.reduce((sum, { events }) => sum + events.bytes, 0) / logs.length;
    return logs.filter(({ events }) => events.bytes >= average).sort((a, b) => a.events.bytes - b.events.bytes);
  }

  #unlist(log: SessionLog): void {
    this.#live.delete(log.token);
    const name = nameOf(log.address);
    if (name !== undefined && this.#byKey.get(name) === log) this.#byKey.delete(name);
  }

  #forgetOldest(): void {
    const [oldest] = this.#ended.values();
    if (oldest) this.#forgetEnded(oldest);
  }

  #forgetEnded(log: SessionLog): void {
    this.#ended.delete(log.token);
    this.#dropTail(log);
  }

  #dropTail(log: SessionLog): void {
    this.#tails.delete(log);
    log.clear();
  }

  #isExpired({ ending }: SessionLog): boolean {
    return ending !== undefined && this.clock.now() >= ending.at + ENDED_MS;
  }
}

/** A key is a name within its principal: nobody's key names nothing. */
function nameOf({ principal, key, route, path }: LogAddress): string | undefined {
  return principal === undefined || key === undefined ? undefined : JSON.stringify([principal, key, route, path]);
}
