import { type DynamicModule, Logger, Module } from '@nestjs/common';
import { DiscoveryModule, ModuleRef } from '@nestjs/core';
import { createChannelLog } from '../channel/channel-log.js';
import { Channels } from '../channel/channels.js';
import { CLOCK, type Clock, RANDOM, type Random, systemClock } from '../clock/clock.js';
import { assertSingleCopy } from '../copies.js';
import { SseSessionError } from '../errors.js';
import { LocalSessionManager } from '../manager/local-session-manager.js';
import { SessionManager } from '../manager/session-manager.js';
import type { SseSessionModuleOptions } from '../options/options.js';
import { resolveModuleOptions } from '../options/resolve.js';
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

/** Told apart from options that a factory does not give. */
const IS_CONFIGURED = Symbol('nestjs-sse-session.is-configured');

@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: CLOCK, useValue: systemClock },
    { provide: RANDOM, useValue: Math.random },
    {
      provide: SessionRegistry,
      useFactory: (clock: Clock, random: Random, isConfigured?: boolean, options?: SseSessionModuleOptions) => {
        if (!isConfigured) throw importedBare();
        // a factory may have given nothing
        checkObject(options, 'SseSessionModule (forRoot(), or the factory of forRootAsync())');
        return new SessionRegistry(resolveModuleOptions(options), clock, random, new Logger('SseSession'));
      },
      inject: [CLOCK, RANDOM, { token: IS_CONFIGURED, optional: true }, { token: MODULE_OPTIONS_TOKEN, optional: true }],
    },
    { provide: Shutdown, useFactory: (registry: SessionRegistry) => new Shutdown(registry), inject: [SessionRegistry] },
    {
      provide: Channels,
      useFactory: ({ options, clock }: SessionRegistry) => new Channels(createChannelLog(options.channels, () => clock.now())),
      inject: [SessionRegistry],
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
