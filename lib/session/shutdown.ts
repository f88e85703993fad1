import { within } from '../clock/within.js';
import { encode } from '../event/encode.js';
import type { ManagedSession } from './managed-session.js';
import type { SessionRegistry } from './session-registry.js';

/** The most clients that should come back in one second: what a fresh process takes without effort. */
const RETURNS_PER_SECOND = 400;

/**
 * Stops the sessions of an application:
 *
 *   refuse()  new requests are refused, connecting sessions aborted
 *   drain()   each route's `finishMs` passes; then every open session gets a `retry:` and its end; what does not read is cut at `timeoutMs`
 */
export class Shutdown {
  #isRefusing = false;
  #draining: Promise<void> | undefined;

  constructor(private readonly registry: SessionRegistry) {}

  /** Whether new requests are refused, as the application stops. */
  get isRefusing(): boolean {
    return this.#isRefusing;
  }

  /** When a client that is sent away should come back, in milliseconds, so that the next process is not run over. */
  returnMs(retryMs: number | false, clients = this.registry.size): number {
    const { retryJitterMs } = this.registry.options.shutdown;
    const spreadMs = Math.max(retryJitterMs, (clients / RETURNS_PER_SECOND) * 1000);
    return Math.round((retryMs || 0) + this.registry.random() * spreadMs);
  }

  refuse(): void {
    if (this.#isRefusing) return;
    this.#isRefusing = true;
    for (const session of [...this.registry]) {
      if (session.state === 'connecting') session.end('shutdown');
    }
  }

  drain(): Promise<void> {
    this.refuse();
    return (this.#draining ??= this.#drain());
  }

  async #drain(): Promise<void> {
    const { registry } = this;
    const { timeoutMs } = registry.options.shutdown;
    const deadline = registry.clock.now() + timeoutMs;
    registry.closingDeadline = deadline;
    const cancel = this.#scheduleEnds();
    await within(registry.clock, deadline, registry.empty());
    cancel();
    for (const session of [...registry]) session.cut('shutdown');
    // clients that are being given the rest of a session which is over
    await within(registry.clock, deadline, registry.connections.empty());
    for (const connection of [...registry.connections]) connection.destroy();
    await within(registry.clock, deadline, registry.hookRunner.idle());
    registry.hookRunner.reportHanging(0);
    registry.producers.report(0);
  }

  /** One timer per distinct `finishMs`, which are as few as an application's routes. Returns what calls them off. */
  #scheduleEnds(): () => void {
    const byFinish = new Map<number, ManagedSession[]>();
    for (const session of this.registry) {
      const { finishMs } = session.options;
      const sessions = byFinish.get(finishMs);
      if (sessions) sessions.push(session);
      else byFinish.set(finishMs, [session]);
    }
    const clients = this.registry.size;
    const cancels = [...byFinish].map(([finishMs, sessions]) => {
      const endAll = (): void => sessions.forEach((session) => this.#end(session, clients));
      if (finishMs > 0) return this.registry.clock.schedule(endAll, finishMs);
      endAll();
      return () => undefined;
    });
    return () => cancels.forEach((cancel) => cancel());
  }

  #end(session: ManagedSession, clients: number): void {
    if (session.state !== 'open' && session.state !== 'detached') return;
    session.end('shutdown', undefined, { retry: encode({ retry: this.returnMs(session.options.retryMs, clients) }) });
  }
}
