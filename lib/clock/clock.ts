/** The time as the library sees it. Injectable (`CLOCK`), so that tests move it by hand. */
export interface Clock {
  /** Monotonic milliseconds; a step of the machine's wall clock does not show. */
  now(): number;
  /** Calls back once, at the earliest after `delayMs`. Returns what calls it off. */
  schedule(callback: () => void, delayMs: number): () => void;
}

/** Randomness for jitter: uniform in [0, 1). Injectable (`RANDOM`). */
export type Random = () => number;

/** Provider token of the {@link Clock}. */
export const CLOCK = Symbol('nestjs-sse-session.clock');
/** Provider token of the {@link Random}. */
export const RANDOM = Symbol('nestjs-sse-session.random');

export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(callback, delayMs) {
    // unref: open sockets keep a process alive, our timers never should
    const timer = setTimeout(callback, delayMs).unref();
    return () => clearTimeout(timer);
  },
};
