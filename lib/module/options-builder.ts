import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { SseSessionModuleOptions } from '../options/options.js';

/** What concerns the module and not the sessions. */
export interface SseSessionModuleExtras {
  /** Whether every module of the application can inject the `SessionManager` without importing this one. Default `true`. */
  isGlobal?: boolean;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, ASYNC_OPTIONS_TYPE } = new ConfigurableModuleBuilder<SseSessionModuleOptions>(
  {
    moduleName: 'SseSession',
  },
)
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createSseSessionOptions')
  .setExtras<SseSessionModuleExtras>({ isGlobal: true }, (definition, { isGlobal = true }) => ({ ...definition, global: isGlobal }))
  .build();

/** What `useClass` and `useExisting` of `forRootAsync()` take. */
export interface SseSessionOptionsFactory {
  createSseSessionOptions(): SseSessionModuleOptions | Promise<SseSessionModuleOptions>;
}
