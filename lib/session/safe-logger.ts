import type { HookLogger } from './hooks.js';

/** An application's logger may throw as well; that must neither end nor keep a session, and there is nobody to tell. */
export function safeLogger(logger: HookLogger): HookLogger {
  const safely = (log: () => void): void => {
    try {
      log();
    } catch {
      // see above
    }
  };
  return {
    error: (message, stack) => safely(() => logger.error(message, stack)),
    warn: (message) => safely(() => logger.warn(message)),
  };
}
