import type { SessionRegistry } from './session-registry.js';
import type { CloseReason } from '../options/close-reasons.js';

/** What a run of the cleanup job did. */
export interface CleanupReport {
  /** When it ran, in epoch milliseconds. */
  readonly at: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
  /** How many sessions it looked at. */
  readonly examined: number;
  /** How many of them it ended then and there, by reason (a client that does not read is ended when the kernel has been asked); a healthy application has none, as their own timers and sockets do it. */
  readonly ended: Partial<Record<CloseReason, number>>;
}

/**
 * Looks at every session and ends those whose deadline has passed or whose socket is gone, whatever has missed it. Never touches a live one:
 * it asks each session the very questions that its own timers ask.
 */
export class Cleanup {
  last: CleanupReport | undefined;

  /** @param expire lets go of what others keep for clients that come back, and is too old */
  constructor(
    private readonly registry: SessionRegistry,
    private readonly expire: () => void = () => undefined,
  ) {}

  run(): CleanupReport {
    const { clock, directory, hookRunner, producers, logger } = this.registry;
    const start = clock.now();
    const at = Date.now();
    const sessions = [...this.registry];
    const ended: Partial<Record<CloseReason, number>> = {};
    for (const session of sessions) {
      const before = session.state;
      session.check(start);
      const reason = session.closeReason;
      if (reason !== undefined && session.state !== before) ended[reason] = (ended[reason] ?? 0) + 1;
    }
    if (Object.keys(ended).length > 0) {
      logger.warn(`The cleanup job ended sessions that their own timers and sockets had missed: ${JSON.stringify(ended)}`);
    }
    directory.expire();
    hookRunner.reportHanging();
    producers.report();
    this.expire();
    this.last = { at, durationMs: clock.now() - start, examined: sessions.length, ended };
    return this.last;
  }
}
