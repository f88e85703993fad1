import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { RequestRuntime } from '../request/request-runtime.js';
import { SessionRegistry } from '../session/session-registry.js';
import { Shutdown } from '../session/shutdown.js';
import { CleanupScheduler } from './cleanup-scheduler.js';
import { Explorer } from './explorer.js';

/**
 * What happens when the application starts and stops. Nest calls all `onModuleDestroy`, then all `beforeApplicationShutdown`, closes the
 * server (which waits for its responses), then calls all `onApplicationShutdown`: sessions have to end in the second.
 */
@Injectable()
export class Lifecycle implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(
    @Inject(SessionRegistry) private readonly registry: SessionRegistry,
    @Inject(Shutdown) private readonly shutdown: Shutdown,
    @Inject(RequestRuntime) private readonly runtime: RequestRuntime,
    @Inject(CleanupScheduler) private readonly scheduler: CleanupScheduler,
    @Inject(Explorer) private readonly explorer: Explorer,
  ) {}

  onModuleInit(): void {
    this.explorer.explore(this.registry.hooks, this.runtime.routes);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.scheduler.start();
  }

  onModuleDestroy(): void {
    this.shutdown.refuse();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.scheduler.stop();
    await this.shutdown.drain();
    await this.runtime.stop(this.registry.closingDeadline);
  }

  onApplicationShutdown(): void {
    this.registry.dispose();
  }
}
