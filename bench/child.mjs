import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process of the benchmark: the side that is measured and the side that measures share no event loop and no heap. */
export class Child {
  #process;
  #ready;

  constructor(file, argument) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(argument ?? {})], { execArgv: ['--expose-gc'] });
    this.#ready = this.#answer();
  }

  /** What the process says of itself once it is ready to be asked. */
  get ready() {
    return this.#ready;
  }

  async ask(command, argument) {
    this.#process.send({ command, argument });
    return this.#answer();
  }

  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, 'exit');
    if (this.#process.connected) this.#process.disconnect();
    await exit;
  }

  async #answer() {
    const over = new AbortController();
    const died = once(this.#process, 'exit', { signal: over.signal }).then(([code]) => Promise.reject(new Error(`it ended with ${code}`)));
    died.catch(() => undefined);
    try {
      const [{ result, error }] = await Promise.race([once(this.#process, 'message', { signal: over.signal }), died]);
      if (error) throw new Error(error);
      return result;
    } finally {
      over.abort();
    }
  }
}

/** The other end: answers to `commands`, one at a time. */
export function serve(commands, greeting) {
  process.on('message', async ({ command, argument }) => {
    try {
      process.send({ result: await commands[command](argument) });
    } catch (error) {
      process.send({ error: error.stack });
    }
  });
  process.on('disconnect', () => process.exit());
  process.send({ result: greeting });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** On the clock that all processes of a machine share, in microseconds. */
export const stamp = () => Number(process.hrtime.bigint() / 1_000n);

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}
