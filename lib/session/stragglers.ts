import type { SessionLogger } from './safe-logger.js';

/** Something that should have come to its end: named, and nothing else is held of it. */
export interface Straggler {
  readonly name: string;
  readonly since: number;
  warned: boolean;
}

export interface StragglerKind {
  /** From how many milliseconds on one is reported. */
  readonly afterMs: number;
  /** The warning. */
  message(name: string, elapsedMs: number): string;
}

/** What should have come to its end and has not yet: hooks that were called, producers that were told to stop. */
export class Stragglers {
  readonly #waiting = new Set<Straggler>();
  #idleWaiters: (() => void)[] = [];

  constructor(
    private readonly kind: StragglerKind,
    private readonly logger: SessionLogger,
    private readonly now: () => number,
  ) {}

  add(name: string): Straggler {
    const straggler = { name, since: this.now(), warned: false };
    this.#waiting.add(straggler);
    return straggler;
  }

  delete(straggler: Straggler): void {
    this.#waiting.delete(straggler);
    if (this.#waiting.size > 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Resolves when there is none. */
  idle(): Promise<void> {
    if (this.#waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Warns, once each, of those that have taken too long. */
  report(afterMs = this.kind.afterMs): void {
    for (const straggler of this.#waiting) {
      const elapsed = this.now() - straggler.since;
      if (straggler.warned || elapsed < afterMs) continue;
      straggler.warned = true;
      this.logger.warn(this.kind.message(straggler.name, Math.round(elapsed)));
    }
  }
}
