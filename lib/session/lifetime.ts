import type { Clock, Random } from '../clock/clock.js';
import type { ResolvedRouteOptions } from '../options/options.js';

/** Up to a tenth off the lifetime, so that sessions that were opened together do not end together. */
const LIFETIME_JITTER = 0.1;

/**
 * How long a session may live, how long it is authorised, how long it may be without a client, and how long idle. Kept on the monotonic clock; shown in epoch milliseconds, by where the wall
 * clock stood when the session was created.
 */
export class Lifetime {
  readonly #endsAt: number;
  /** Not Infinity when there is no end: V8 gives a field that holds such a number 16 bytes of its own. */
  #authorizedUntil: number | undefined;
  readonly #wallClockOffset: number;
  #lastActivityAt: number;
  /** While it is connecting only the lifetime counts. */
  #isOpen = false;
  /** By when a client must have come back. */
  #graceEndsAt: number | undefined;

  constructor(
    private readonly clock: Clock,
    random: Random,
    private readonly options: Pick<ResolvedRouteOptions, 'timeoutMs' | 'idleTimeoutMs'>,
    authorizedUntil?: number,
  ) {
    const now = clock.now();
    this.#lastActivityAt = now;
    this.#wallClockOffset = Date.now() - now;
    this.authorize(authorizedUntil);
    this.#endsAt = options.timeoutMs === false ? Infinity : now + options.timeoutMs * (1 - LIFETIME_JITTER * random());
  }

  /**
   * Until when it is authorised, in epoch milliseconds: asked again when a client comes back.
   * @param extendsOnly other clients are there, for whom it does not end earlier than before
   */
  authorize(until: number | undefined, extendsOnly = false): void {
    const known = this.#authorizedUntil;
    const next = until === undefined ? undefined : until - this.#wallClockOffset;
    this.#authorizedUntil = extendsOnly && (known === undefined || (next !== undefined && next < known)) ? known : next;
  }

  get expiresAt(): number | undefined {
    const endsAt = Math.min(this.#endsAt, this.#authorizedUntil ?? Infinity);
    return endsAt === Infinity ? undefined : this.#onWallClock(endsAt);
  }

  get lastActivityAt(): number {
    return this.#onWallClock(this.#lastActivityAt);
  }

  /** There was an event. */
  touch(): void {
    this.#lastActivityAt = this.clock.now();
  }

  /** From now on an idle session ends. */
  open(): void {
    this.touch();
    this.#isOpen = true;
  }

  /** No client is there any more, and one must come back within so many milliseconds. */
  detach(graceMs: number): void {
    this.#graceEndsAt = this.clock.now() + graceMs;
  }

  attach(): void {
    this.#graceEndsAt = undefined;
  }

  /** When to look again, by the clock. */
  get deadline(): number {
    return Math.min(this.#endsAt, this.#authorizedUntil ?? Infinity, this.#graceEndsAt ?? Infinity, this.#idleAt);
  }

  /** The deadline that has passed, if one has. */
  passed(now: number): 'unauthorized' | 'timeout' | 'client-disconnect' | 'idle-timeout' | undefined {
    if (this.#authorizedUntil !== undefined && now >= this.#authorizedUntil) return 'unauthorized';
    if (now >= this.#endsAt) return 'timeout';
    if (this.#graceEndsAt !== undefined && now >= this.#graceEndsAt) return 'client-disconnect';
    return now >= this.#idleAt ? 'idle-timeout' : undefined;
  }

  get #idleAt(): number {
    const { idleTimeoutMs } = this.options;
    return this.#isOpen && idleTimeoutMs !== false ? this.#lastActivityAt + idleTimeoutMs : Infinity;
  }

  #onWallClock(time: number): number {
    return Math.round(time + this.#wallClockOffset);
  }
}
