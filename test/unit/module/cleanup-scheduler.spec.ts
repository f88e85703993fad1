import { stat } from 'node:fs';
import { afterEach, describe, expect, it } from '@jest/globals';
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

  it('hears after a blocked event loop what the network has to say before it ends anything', async () => {
    const log: string[] = [];
    createScheduler(new SchedulerRegistry(), () => log.push('cleanup'));
    // from a macrotask after which timers come next, then the network
    await turns(1);
    const heard = new Promise<void>((resolve) => {
      stat('.', () => {
        log.push('network');
        resolve();
      });
    });
    await scheduler.start();
    for (const start = performance.now(); performance.now() - start < 50;);
    await heard;
    await turns(2);
    expect(log.slice(0, 2)).toEqual(['network', 'cleanup']);
  });
});
