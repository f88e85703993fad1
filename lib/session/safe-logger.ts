/** Where the library says what somebody has to see. */
export interface SessionLogger {
  error(message: string, stack?: string): void;
  warn(message: string): void;
}

/** An application's logger may throw as well; that must neither end nor keep a session, and there is nobody to tell. */
export function safeLogger(logger: SessionLogger): SessionLogger {
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
