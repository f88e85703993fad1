/**
 * Whether a client takes anything of what waits for it. Node tells when the kernel has taken something; but the kernel may hold megabytes, and
 * take no more for half a minute while a slow client steadily reads them. So the kernel is asked too: for the first time when half of
 * the time has passed, then when all has. What the client has acknowledged in between is movement.
 */
export class Movement {
  #stillSince = Infinity;
  #handedOver = 0;
  #acknowledged: number | undefined;
  #hasLooked = false;

  constructor(private readonly timeoutMs: number) {}

  /** After how long a stillness the kernel is asked for the first time, in milliseconds. */
  static firstLookAfterMs(timeoutMs: number): number {
    return timeoutMs / 2;
  }

  /**
   * @param handedOver how much the kernel has taken, in bytes, by Node's account. Less than before is no movement: the framing of what was
   * written meanwhile, a heartbeat even, waits in Node and is no byte of ours
   * @returns for how long nothing has moved, in milliseconds
   */
  stillness(now: number, handedOver: number): number {
    if (this.#stillSince === Infinity || handedOver > this.#handedOver) {
      this.#stillSince = now;
      this.#acknowledged = undefined;
      this.#hasLooked = false;
    }
    this.#handedOver = handedOver;
    return now - this.#stillSince;
  }

  /** @param acknowledged what the client has acknowledged, in bytes; `undefined` when nobody knows */
  onLook(now: number, acknowledged: number | undefined): void {
    if (acknowledged !== undefined && this.#acknowledged !== undefined && acknowledged > this.#acknowledged) this.#stillSince = now;
    // the first look has nothing to compare with: when it comes late, as the event loop was blocked, it leaves half of the time all the same
    if (!this.#hasLooked) this.#stillSince = Math.max(this.#stillSince, now - Movement.firstLookAfterMs(this.timeoutMs));
    this.#acknowledged = acknowledged;
    this.#hasLooked = true;
  }

  /** After how long a stillness the kernel is asked next, in milliseconds. */
  get lookAfterMs(): number {
    return this.#hasLooked ? this.timeoutMs : Movement.firstLookAfterMs(this.timeoutMs);
  }

  /** When that is. */
  lookAt(now: number): number {
    return (this.#stillSince === Infinity ? now : this.#stillSince) + this.lookAfterMs;
  }
}
