import { Inject, Injectable } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { EncodedEvent } from '../event/encode.js';
import { type Reading, readEvent } from '../event/read-event.js';
import type { SseEvent, SseEventInit } from '../event/sse-event.js';
import { Cleanup, type CleanupReport } from '../session/cleanup.js';
import type { ManagedSession } from '../session/managed-session.js';
import { type SessionEvent, SessionRegistry } from '../session/session-registry.js';
import type { SendResult, SseSession } from '../session/sse-session.js';
import { type SessionFilter, matcher } from './filter.js';
import { type SessionStats, takeStats } from './stats.js';

type Sendable = SseEvent | SseEventInit | string | number | boolean | object | null;

/** All the sessions of the application, from any provider. */
@Injectable()
export class SessionManager implements Iterable<SseSession> {
  /** What happens to sessions, as it happens. A hot Observable that completes when the application has stopped. */
  readonly events$: Observable<SessionEvent>;

  constructor(
    @Inject(SessionRegistry) private readonly registry: SessionRegistry,
    @Inject(Cleanup) private readonly job: Cleanup,
  ) {
    this.events$ = registry.events$;
  }

  /** How many sessions live in this process, connecting and closing ones included. */
  get size(): number {
    return this.registry.size;
  }

  get(id: string): SseSession | undefined {
    return this.registry.get(id);
  }

  has(id: string): boolean {
    return this.registry.get(id) !== undefined;
  }

  /** Over the live sessions; one that ends meanwhile is left out. */
  [Symbol.iterator](): IterableIterator<SseSession> {
    return this.registry[Symbol.iterator]();
  }

  /** @throws SseSessionError `INVALID_FILTER` */
  find(filter: SessionFilter): SseSession[] {
    return this.#find(filter);
  }

  /** Sends to one session; an unknown or ended one is `'closed'`. Throws as {@link SseSession.send} does. */
  send(id: string, event: Sendable): SendResult {
    return this.registry.get(id)?.send(event) ?? 'closed';
  }

  /**
   * Sends to all sessions, or to those that match. An event that can't be sent to all of them is sent to none.
   * @returns how many sessions took it
   * @throws SseSessionError `INVALID_EVENT`, `SERIALIZATION_FAILED` or `INVALID_FILTER`, before anybody has it
   */
  broadcast(event: Sendable, filter?: SessionFilter): number {
    const sessions = filter === undefined ? [...this.registry] : this.#find(filter);
    const encode = encodePerReading(event);
    const deliveries = sessions.map((session) => ({ session, encoded: encode(session.options) }));
    return deliveries.reduce((taken, { session, encoded }) => taken + Number(session.deliver(encoded) === 'accepted'), 0);
  }

  /** What there is now and what was counted since the start. */
  stats(): SessionStats {
    return takeStats(this.registry, this.job.last);
  }

  /** Runs the cleanup job now. */
  cleanup(): CleanupReport {
    return this.job.run();
  }

  /** Ends a session as `cancelled`. Resolves to `true` the first time, `false` for an unknown or ended one. */
  cancel(id: string): Promise<boolean> {
    return Promise.resolve(this.registry.get(id)?.end('cancelled') ?? false);
  }

  /**
   * Ends the sessions that match as `cancelled`.
   * @returns how many it ended
   * @throws SseSessionError (rejects) `INVALID_FILTER`
   */

  async cancelAll(filter: SessionFilter): Promise<number> {
    return this.#find(filter).filter((session) => session.end('cancelled')).length;
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
