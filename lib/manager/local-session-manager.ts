import { Inject, Injectable } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { Channel, ChannelStream, ChannelStreamOptions } from '../channel/channel.js';
import { Channels } from '../channel/channels.js';
import type { EncodedEvent } from '../event/encode.js';
import { type Reading, readEvent } from '../event/read-event.js';
import type { Sendable } from '../event/sse-event.js';
import { Cleanup, type CleanupReport } from '../session/cleanup.js';
import type { ManagedSession } from '../session/managed-session.js';
import { type SessionEvent, SessionRegistry } from '../session/session-registry.js';
import type { SendResult, SseSession } from '../session/sse-session.js';
import { type SessionFilter, matcher } from './filter.js';
import { SessionManager } from './session-manager.js';
import { type SessionStats, takeStats } from './stats.js';

/** The manager of the sessions of this process. */
@Injectable()
export class LocalSessionManager extends SessionManager {
  readonly events$: Observable<SessionEvent>;

  constructor(
    @Inject(SessionRegistry) private readonly registry: SessionRegistry,
    @Inject(Cleanup) private readonly job: Cleanup,
    @Inject(Channels) private readonly channels: Channels,
  ) {
    super();
    this.events$ = registry.events$;
  }

  get size(): number {
    return this.registry.size;
  }

  get(id: string): SseSession | undefined {
    return this.registry.get(id);
  }

  has(id: string): boolean {
    return this.registry.get(id) !== undefined;
  }

  [Symbol.iterator](): IterableIterator<SseSession> {
    return this.registry[Symbol.iterator]();
  }

  find(filter: SessionFilter): SseSession[] {
    return this.#find(filter);
  }

  send(id: string, event: Sendable): SendResult {
    return this.registry.get(id)?.send(event) ?? 'closed';
  }

  broadcast(event: Sendable, filter?: SessionFilter): number {
    const sessions = filter === undefined ? [...this.registry] : this.#find(filter);
    const encode = encodePerReading(event);
    const deliveries = sessions.map((session) => {
      const encoded = encode(session.options);
      session.refuseOwnId(encoded);
      return { session, encoded };
    });
    return deliveries.reduce((taken, { session, encoded }) => taken + Number(session.deliver(encoded) === 'accepted'), 0);
  }

  channel<T = unknown>(name: string): Channel<T> {
    return this.channels.channel<T>(name);
  }

  stream(names: readonly string[], options?: ChannelStreamOptions): ChannelStream {
    return this.channels.stream(names, options);
  }

  stats(): SessionStats {
    return takeStats(this.registry, this.channels, this.job.last);
  }

  cleanup(): CleanupReport {
    return this.job.run();
  }

  async cancel(id: string): Promise<boolean> {
    return this.registry.get(id)?.end('cancelled') ?? this.registry.directory.cancel(id);
  }

  async cancelAll(filter: SessionFilter): Promise<number> {
    const here = this.#find(filter).filter((session) => session.end('cancelled')).length;
    return here + (await this.registry.directory.cancelAll(filter));
  }

  #find(filter: SessionFilter): ManagedSession[] {
    const matches = matcher(filter);
    const candidates = filter.principal === undefined ? this.registry : this.registry.ofPrincipal(filter.principal);
    return [...candidates].filter(matches);
  }
}

/** Encodes an event once for all the routes that read it alike. */
function encodePerReading(event: Sendable): (reading: Reading) => EncodedEvent {
  const known: { reading: Reading; encoded: EncodedEvent }[] = [];
  return (reading) => {
    const same = known.find((entry) => entry.reading.emit === reading.emit && entry.reading.serializer === reading.serializer);
    if (same) return same.encoded;
    const encoded = readEvent(event, reading);
    known.push({ reading, encoded });
    return encoded;
  };
}
