import { Inject, Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { SchedulerRegistry } from '@nestjs/schedule';
import { Cleanup } from '../session/cleanup.js';
import { SessionRegistry } from '../session/session-registry.js';

/** The job's name in Nest's `SchedulerRegistry`. */
export const CLEANUP_JOB = 'sse-session-cleanup';

/**
 * Runs the cleanup job as an interval of Nest's `SchedulerRegistry`, where an application sees it and may delete it.
 *
 * The registry is taken from the application, or made when it has none. `ScheduleModule` is never imported here: imported twice, every
 * `@Interval()` of the application would fire twice.
 */
@Injectable()
export class CleanupScheduler {
  #schedulers: SchedulerRegistry | undefined;

  constructor(
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
    @Inject(SessionRegistry) private readonly sessions: SessionRegistry,
    @Inject(Cleanup) private readonly cleanup: Cleanup,
  ) {}

  async start(): Promise<void> {
    const schedulers = (this.#schedulers = await this.#findSchedulers());
    // setImmediate: after a blocked event loop the timers come first, and what the network has to say is heard before anything is ended
    const run = (): void => void setImmediate(() => this.cleanup.run());
    const interval = setInterval(run, this.sessions.options.cleanup.intervalMs);
    schedulers.addInterval(CLEANUP_JOB, interval.unref());
  }

  stop(): void {
    // ScheduleModule deletes all intervals when the application stops, perhaps before us; so may the application at any time
    if (this.#schedulers?.doesExist('interval', CLEANUP_JOB)) this.#schedulers.deleteInterval(CLEANUP_JOB);
    this.#schedulers = undefined;
  }

  async #findSchedulers(): Promise<SchedulerRegistry> {
    try {
      return this.moduleRef.get(SchedulerRegistry, { strict: false });
    } catch {
      // Nest's way to say that the application has none
      return this.moduleRef.create(SchedulerRegistry);
    }
  }
}
