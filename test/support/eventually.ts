const DEADLINE_MS = 5_000;
const PAUSE_MS = 10;

/**
 * Runs `assertion` until it holds (neither throws, nor rejects, nor gives `false`), for what happens in real time and no fake clock can
 * move. After five seconds the last failure is thrown.
 */
export async function eventually<T>(assertion: () => T | Promise<T>, deadlineMs = DEADLINE_MS): Promise<Exclude<T, false>> {
  const giveUpAt = performance.now() + deadlineMs;
  for (;;) {
    try {
      const value = await assertion();
      if (value !== false) return value as Exclude<T, false>;
      throw new Error(`not true after ${deadlineMs} ms: ${assertion.toString()}`);
    } catch (error) {
      if (performance.now() >= giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
