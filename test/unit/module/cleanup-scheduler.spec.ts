import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { ModuleRef } from '@nestjs/core';
import { SchedulerRegistry } from '@nestjs/schedule';
import { CLEANUP_JOB, CleanupScheduler } from '../../../lib/module/cleanup-scheduler.js';
import { Cleanup } from '../../../lib/session/cleanup.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

describe('the scheduled cleanup', () => {
  let scheduler: CleanupScheduler;
  afterEach(() => scheduler.stop());

  function createScheduler(registry: SchedulerRegistry | undefined, run?: () => void) {
    const app = new MemoryApp({ cleanup: { intervalMs: 1 } });
    const cleanup = new Cleanup(app.registry);
    if (run) cleanup.run = run as never;
    const made = new SchedulerRegistry();
    const moduleRef = {
      get: () => {
        if (!registry) throw new Error('unknown element');
        return registry;
      },
      create: async () => made,
    };
    scheduler = new CleanupScheduler(moduleRef as unknown as ModuleRef, app.registry, cleanup);
    return { cleanup, made };
  }

  it("is an interval of the application's SchedulerRegistry, and gone when it stops", async () => {
    const registry = new SchedulerRegistry();
    const { made } = createScheduler(registry);
    await scheduler.start();
    expect(registry.getIntervals()).toEqual([CLEANUP_JOB]);
    expect(made.getIntervals()).toEqual([]);
    scheduler.stop();
    scheduler.stop();
    expect(registry.getIntervals()).toEqual([]);
  });

  it('makes a registry when the application has none', async () => {
    const { made } = createScheduler(undefined);
    await scheduler.start();
    expect(made.getIntervals()).toEqual([CLEANUP_JOB]);
  });

  it('bears that the application has deleted the job', async () => {
    const registry = new SchedulerRegistry();
    createScheduler(registry);
    await scheduler.start();
    registry.deleteInterval(CLEANUP_JOB);
    scheduler.stop();
  });

  it('runs a phase of the event loop later than its timer, so that after a blocked loop the network is heard before anything is ended', async () => {
    const log: string[] = [];
    createScheduler(new SchedulerRegistry(), () => log.push('cleanup'));
    const intervals = jest.spyOn(globalThis, 'setInterval').mockImplementation(() => setTimeout(() => undefined, 60_000));
    await scheduler.start();
    const ring = intervals.mock.calls[0]?.[0] as () => void;
    intervals.mockRestore();
    ring();
    await Promise.resolve();
    expect(log).toEqual([]);
    await turns(1);
    expect(log).toEqual(['cleanup']);
  });
});
