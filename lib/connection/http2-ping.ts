import type { Http2Session } from 'node:http2';
import { Alarm, type AlarmOwner, type TimerWheel } from '../clock/timer-wheel.js';
import type { ResponseListener } from './response-stream.js';

/** Between an answered PING and the next, at least. */
const REST_MS = 1_000;

/**
 *   armed --something is written--> pinging --answered--> resting --1 s passed--> armed
 *                                      |                     (--> pinging, if something was written meanwhile)
 *                                      +--not answered for deadPeer.timeoutMs--> dead
 */
type PingState = 'armed' | 'pinging' | 'resting' | 'dead';

/**
 * Asks the client of an HTTP/2 connection whether it is there (RFC 9113, section 6.7), once for all its streams, and only when something is
 * written: what the client has to acknowledge anyway goes with the question, so that an idle phone is not woken.
 */
export class Http2Ping implements AlarmOwner {
  readonly #alarm = new Alarm(this);
  readonly #listeners = new Map<ResponseListener, number>();
  #state: PingState = 'armed';
  #hasWritten = false;

  constructor(
    private readonly session: Http2Session,
    private readonly wheel: TimerWheel,
  ) {
    session.once('close', () => this.wheel.cancel(this.#alarm));
  }

  /** A stream that hears of the client's death; the shortest timeout of all streams counts. */
  add(listener: ResponseListener, timeoutMs: number): void {
    this.#listeners.set(listener, timeoutMs);
  }

  delete(listener: ResponseListener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.wheel.cancel(this.#alarm);
    if (this.#state !== 'dead') this.#state = 'armed';
  }

  /** Something was written to a stream. */
  onWrite(): void {
    this.#hasWritten = true;
    if (this.#state === 'armed') this.#ping();
  }

  onAlarm(): number {
    if (this.#state === 'pinging') this.#die();
    else if (this.#state === 'resting') this.#arm();
    return Infinity;
  }

  #arm(): void {
    this.#state = 'armed';
    if (this.#hasWritten) this.#ping();
  }

  #ping(): void {
    if (this.session.destroyed || this.#listeners.size === 0) return;
    this.#state = 'pinging';
    this.#hasWritten = false;
    this.wheel.set(this.#alarm, this.wheel.clock.now() + Math.min(...this.#listeners.values()));
    this.session.ping((error) => this.#onPong(error));
  }

  #onPong(error: Error | null): void {
    // an error is the end of the session, which its streams hear of themselves
    if (error || this.#state !== 'pinging') return;
    this.#state = 'resting';
    this.wheel.set(this.#alarm, this.wheel.clock.now() + REST_MS);
  }

  #die(): void {
    this.#state = 'dead';
    for (const listener of [...this.#listeners.keys()]) listener.onDeadPeer();
    this.session.destroy();
  }
}
