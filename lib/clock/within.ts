import type { Clock } from './clock.js';

/** Waits for `done`, but not beyond `deadline`, by the clock. */
export function within(clock: Clock, deadline: number, done: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.schedule(resolve, Math.max(0, deadline - clock.now()));
    void done.then(() => {
      cancel();
      resolve();
    });
  });
}
