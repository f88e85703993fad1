import { pause } from './child.mjs';

const TICK_MS = 1;

/**
 * Sources as a language model's are: each an async iterable of its own, which gets a token when it gets one. The tokens of all are spread evenly
 * over time, as nothing joins the answers of several users in one turn.
 */
export class TokenFeed {
  #sources = [];

  open() {
    const source = new TokenSource();
    this.#sources.push(source);
    return source;
  }

  async run(perSecond, seconds, make) {
    const sources = this.#sources.filter(({ isOver }) => !isOver);
    const total = sources.length * perSecond * seconds;
    const begin = performance.now();
    let emitted = 0;
    while (emitted < total) {
      const due = Math.min(total, Math.floor(((performance.now() - begin) / 1_000) * perSecond * sources.length));
      for (; emitted < due; emitted++) sources[emitted % sources.length].emit(make());
      await pause(TICK_MS);
    }
    return emitted;
  }
}

/** The cheapest async iterator there is, so that it is not what is measured. */
class TokenSource {
  isOver = false;
  #waiting;
  #tokens = [];

  [Symbol.asyncIterator]() {
    return this;
  }

  emit(value) {
    const resolve = this.#waiting;
    if (!resolve) return void this.#tokens.push(value);
    this.#waiting = undefined;
    resolve({ done: false, value });
  }

  next() {
    if (this.#tokens.length > 0) return Promise.resolve({ done: false, value: this.#tokens.shift() });
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  return() {
    this.isOver = true;
    this.#waiting?.({ done: true, value: undefined });
    return Promise.resolve({ done: true, value: undefined });
  }
}
