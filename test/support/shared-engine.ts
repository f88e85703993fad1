import { type ChannelLog, createChannelLog } from '../../lib/channel/channel-log.js';
import { type Clock, systemClock } from '../../lib/clock/clock.js';
import type { LogLimits } from '../../lib/log/event-log.js';
import type { StorageEngine } from '../../lib/module/storage-engine.js';
import { MemoryDirectory } from '../../lib/resume/memory-directory.js';
import type { RemoteFilter, SessionDirectory, SessionHost } from '../../lib/resume/session-directory.js';
import type { Ending, LogAddress, SessionLog } from '../../lib/resume/session-log.js';

const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Entry {
  readonly log: SessionLog;
  readonly host: SessionHost;
  readonly node: NodeDirectory;
  readers: number;
}

/**
 * An engine for several nodes, all of them in this process: what each of them asks of the others is answered a macrotask later. It shows what the ports have to
 * offer, no more: logs are shared by reference, where a real one brings them over.
 */
export class SharedEngine {
  readonly entries = new Map<string, Entry>();
  readonly directories: NodeDirectory[] = [];
  readonly channelLog: ChannelLog = createChannelLog({ maxBytes: 1_000_000, maxAgeMs: 60_000 }, () => 0);

  constructor(readonly clock: Clock = systemClock) {}

  /** What one node has of it. */
  node(): StorageEngine {
    const directory = new NodeDirectory(this);
    this.directories.push(directory);
    return { directory, channelLog: this.channelLog };
  }
}

class NodeDirectory implements SessionDirectory {
  readonly #own: MemoryDirectory;

  constructor(private readonly engine: SharedEngine) {
    this.#own = new MemoryDirectory(engine.clock, 100_000_000);
  }

  get held(): SessionDirectory['held'] {
    return this.#own.held;
  }

  open(sessionId: string, address: LogAddress, limits: LogLimits, host: SessionHost): SessionLog {
    const log = this.#own.open(sessionId, address, limits);
    this.engine.entries.set(log.token, { log, host, node: this, readers: 0 });
    return log;
  }

  async find(token: string): Promise<SessionLog | undefined> {
    await later();
    return this.#firstOf((own) => own.find(token));
  }

  async findByKey(address: LogAddress): Promise<SessionLog | undefined> {
    await later();
    return this.#firstOf((own) => own.findByKey(address));
  }

  read(log: SessionLog): () => void {
    const entry = this.engine.entries.get(log.token);
    if (!entry || entry.node === this) return () => undefined;
    entry.host.onReadersElsewhere(++entry.readers, log.tail);
    const stop = log.events.follow((_event, position) => setImmediate(() => entry.host.onReadersElsewhere(entry.readers, position)));
    return () => {
      stop();
      entry.host.onReadersElsewhere(--entry.readers, log.tail);
    };
  }

  end(log: SessionLog, ending: Ending): void {
    this.#own.end(log, ending);
  }

  forget(log: SessionLog): void {
    this.#own.forget(log);
  }

  expire(): void {
    this.#own.expire();
  }

  dispose(): void {
    this.#own.dispose();
  }

  async cancel(sessionId: string): Promise<boolean> {
    await later();
    return this.#cancelWhere(({ log }) => log.sessionId === sessionId) > 0;
  }

  async cancelAll({ principal, key }: RemoteFilter): Promise<number> {
    await later();
    return this.#cancelWhere(
      ({ log: { address } }) => (principal ?? address.principal) === address.principal && (key ?? address.key) === address.key,
    );
  }

  #cancelWhere(matches: (entry: Entry) => boolean): number {
    const cancelled = [...this.engine.entries.values()].filter((entry) => entry.node !== this && !entry.log.ending && matches(entry));
    for (const { host } of cancelled) host.cancel();
    return cancelled.length;
  }

  #firstOf(find: (own: MemoryDirectory) => SessionLog | undefined): SessionLog | undefined {
    return this.engine.directories.map((directory) => find(directory.#own)).find((log) => log !== undefined);
  }
}
