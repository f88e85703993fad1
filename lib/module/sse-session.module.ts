import { type DynamicModule, Logger, Module } from '@nestjs/common';
import { DiscoveryModule, ModuleRef } from '@nestjs/core';
import { Channels } from '../channel/channels.js';
import { CLOCK, type Clock, RANDOM, type Random, systemClock } from '../clock/clock.js';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError } from '../errors.js';
import { LocalSessionManager } from '../manager/local-session-manager.js';
import { SessionManager } from '../manager/session-manager.js';
import type { SseSessionModuleOptions } from '../options/options.js';
import { type ResolvedModuleOptions, resolveModuleOptions } from '../options/resolve.js';
import { checkObject } from '../options/schema.js';
import { Controllers } from '../request/controllers.js';
import { RequestRuntime } from '../request/request-runtime.js';
import { Cleanup } from '../session/cleanup.js';
import { SessionRegistry } from '../session/session-registry.js';
import { Shutdown } from '../session/shutdown.js';
import { CleanupScheduler } from './cleanup-scheduler.js';
import { Explorer } from './explorer.js';
import { Lifecycle } from './lifecycle.js';
import { type ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, type SseSessionModuleExtras } from './options-builder.js';
import { STORAGE_ENGINE, type StorageEngine, memoryEngine } from './storage-engine.js';

/** Told apart from options that a factory does not give. */
const IS_CONFIGURED = Symbol('nestjs-sse-session.is-configured');
const RESOLVED_OPTIONS = Symbol('nestjs-sse-session.resolved-options');

@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: CLOCK, useValue: systemClock },
    { provide: RANDOM, useValue: Math.random },
    {
      provide: RESOLVED_OPTIONS,
      useFactory: (isConfigured?: boolean, options?: SseSessionModuleOptions) => {
        if (!isConfigured) throw importedBare();
        // a factory may have given nothing
        checkObject(options, 'SseSessionModule (forRoot(), or the factory of forRootAsync())');
        return resolveModuleOptions(options);
      },
      inject: [
        { token: IS_CONFIGURED, optional: true },
        { token: MODULE_OPTIONS_TOKEN, optional: true },
      ],
    },
    { provide: STORAGE_ENGINE, useFactory: memoryEngine, inject: [RESOLVED_OPTIONS, CLOCK] },
    {
      provide: SessionRegistry,
      useFactory: (options: ResolvedModuleOptions, clock: Clock, random: Random, { directory }: StorageEngine) =>
        new SessionRegistry(options, clock, random, new Logger('SseSession'), undefined, directory),
      inject: [RESOLVED_OPTIONS, CLOCK, RANDOM, STORAGE_ENGINE],
    },
    { provide: Shutdown, useFactory: (registry: SessionRegistry) => new Shutdown(registry), inject: [SessionRegistry] },
    {
      provide: Channels,
      useFactory: ({ channelLog }: StorageEngine) => new Channels(channelLog),
      inject: [STORAGE_ENGINE],
    },
    {
      provide: Cleanup,
      useFactory: (registry: SessionRegistry, channels: Channels) => new Cleanup(registry, () => channels.expire()),
      inject: [SessionRegistry, Channels],
    },
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
    checkObject(options, 'SseSessionModule.forRoot()');
    return configured(super.forRoot(options));
  }

  /** The module with options that a provider makes: `{ imports, inject, useFactory | useClass | useExisting }`. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    assertSingleCopy();
    checkObject(options, 'SseSessionModule.forRootAsync()');
    if (!options.useFactory && !options.useClass && !options.useExisting) {
      throw new SseSessionError(
        'INVALID_OPTION',
        'SseSessionModule.forRootAsync() has no provider of options; expected useFactory, useClass or useExisting.',
      );
    }
    return configured(super.forRootAsync(options));
  }
}

function configured(module: DynamicModule): DynamicModule {
  return { ...module, providers: [...(module.providers ?? []), { provide: IS_CONFIGURED, useValue: true }] };
}

function importedBare(): SseSessionError {
  return new SseSessionError(
    'MODULE_MISSING',
    'An application imports the class SseSessionModule; import SseSessionModule.forRoot() instead.',
  );
}
