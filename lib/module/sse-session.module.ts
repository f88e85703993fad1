import { type DynamicModule, Logger, Module } from '@nestjs/common';
import { DiscoveryModule, ModuleRef } from '@nestjs/core';
import { CLOCK, type Clock, RANDOM, type Random, systemClock } from '../clock/clock.js';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError } from '../errors.js';
import { LocalSessionManager } from '../manager/local-session-manager.js';
import { SessionManager } from '../manager/session-manager.js';
import type { SseSessionModuleOptions } from '../options/options.js';
import { resolveModuleOptions } from '../options/resolve.js';
import { Controllers } from '../request/controllers.js';
import { RequestRuntime } from '../request/request-runtime.js';
import { Cleanup } from '../session/cleanup.js';
import { SessionRegistry } from '../session/session-registry.js';
import { Shutdown } from '../session/shutdown.js';
import { CleanupScheduler } from './cleanup-scheduler.js';
import { Explorer } from './explorer.js';
import { Lifecycle } from './lifecycle.js';
import { type ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, type SseSessionModuleExtras } from './options-builder.js';

@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: CLOCK, useValue: systemClock },
    { provide: RANDOM, useValue: Math.random },
    {
      provide: SessionRegistry,
      useFactory: (clock: Clock, random: Random, options?: SseSessionModuleOptions) =>
        new SessionRegistry(resolveModuleOptions(options ?? importedBare()), clock, random, new Logger('SseSession')),
      inject: [CLOCK, RANDOM, { token: MODULE_OPTIONS_TOKEN, optional: true }],
    },
    { provide: Shutdown, useFactory: (registry: SessionRegistry) => new Shutdown(registry), inject: [SessionRegistry] },
    { provide: Cleanup, useFactory: (registry: SessionRegistry) => new Cleanup(registry), inject: [SessionRegistry] },
    {
      provide: RequestRuntime,
      useFactory: (registry: SessionRegistry, shutdown: Shutdown, moduleRef: ModuleRef) =>
        new RequestRuntime(registry, shutdown, new Controllers(moduleRef)),
      inject: [SessionRegistry, Shutdown, ModuleRef],
    },
    { provide: SessionManager, useClass: LocalSessionManager },
    CleanupScheduler,
    Explorer,
    Lifecycle,
  ],
  exports: [SessionManager, RequestRuntime],
})
export class SseSessionModule extends ConfigurableModuleClass {
  /**
   * The module with these options, imported once, in the root module. With `isGlobal: false` keep what this returns in a constant, and
   * import that wherever it is needed.
   */
  static override forRoot(options: SseSessionModuleOptions & SseSessionModuleExtras = {}): DynamicModule {
    assertSingleCopy();
    return super.forRoot(options);
  }

  /** The module with options that a provider makes: `{ imports, inject, useFactory | useClass | useExisting }`. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    assertSingleCopy();
    return super.forRootAsync(options);
  }
}

function importedBare(): never {
  throw new SseSessionError(
    'MODULE_MISSING',
    'An application imports the class SseSessionModule; import SseSessionModule.forRoot() instead.',
  );
}
