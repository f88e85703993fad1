import type { ResolvedRouteOptions } from '../options/options.js';
import type { SseSession } from './sse-session.js';

type Options = Exclude<ResolvedRouteOptions['authorization'], false>;

/** Asks, while a session is open, whether it may go on; no answer within the interval is a no. */
export class Revalidation {
  #askAt = Infinity;
  #answerBy = Infinity;

  /** @param onRefused hears of a no, with what `revalidate` threw if it did */
  constructor(
    private readonly session: SseSession,
    private readonly options: Options,
    private readonly onRefused: (error?: unknown) => void,
  ) {}

  open(now: number): void {
    this.#askAt = now + this.options.intervalMs;
  }

  /** When to look again, by the clock. */
  get deadline(): number {
    return Math.min(this.#askAt, this.#answerBy);
  }

  /** Asks when it is time; refuses when no answer came. */
  check(now: number): void {
    if (now >= this.#answerBy) this.onRefused();
    else if (now >= this.#askAt) void this.#ask(now);
  }

  async #ask(now: number): Promise<void> {
    this.#askAt = Infinity;
    this.#answerBy = now + this.options.intervalMs;
    try {
      // only `true` is a yes
      if ((await this.options.revalidate?.(this.session)) !== true) return this.onRefused();
    } catch (error) {
      return this.onRefused(error);
    }
    this.#askAt = this.#answerBy;
    this.#answerBy = Infinity;
  }
}
