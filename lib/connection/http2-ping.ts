import type { Http2Session } from 'node:http2';
import { Alarm, type TimerWheel } from '../clock/timer-wheel.js';
import type { TcpSocket } from '../liveness/tcp-table.js';
import type { ResponseListener } from './response-stream.js';

/** A client that is slow to take what stands before the PING is looked at again after so long. */
const SLOW_MS = 5_000;

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
export class Http2Ping extends Alarm {
  readonly #listeners = new Map<ResponseListener, number>();
  #state: PingState = 'armed';
  #hasWritten = false;
  #pingedAt = 0;

  /** @param find what the kernel knows of the connection's socket */
  constructor(
    private readonly session: Http2Session,
    private readonly wheel: TimerWheel,
    private readonly find: () => Promise<TcpSocket | undefined>,
  ) {
    super();
    session.once('close', () => this.wheel.cancel(this));
  }

  /** A stream that hears of the client's death; the shortest timeout of all streams counts. */
  add(listener: ResponseListener, timeoutMs: number): void {
    this.#listeners.set(listener, timeoutMs);
    if (this.#state === 'pinging') this.wheel.setNoLaterThan(this, this.#pingedAt + timeoutMs);
  }

  delete(listener: ResponseListener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.wheel.cancel(this);
    if (this.#state !== 'dead') this.#state = 'armed';
  }

  /** Something was written to a stream. */
  onWrite(): void {
    this.#hasWritten = true;
    if (this.#state === 'armed') this.#ping();
  }

  onAlarm(): number {
    if (this.#state === 'pinging') void this.#confirm();
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
    this.#pingedAt = this.wheel.clock.now();
    this.wheel.set(this, this.#pingedAt + this.#timeoutMs);
    this.session.ping((error) => this.#onPong(error));
  }

  #onPong(error: Error | null): void {
    // an error says that it could not be sent, as the session is closing or has too many out: that proves nothing about the client
    if (this.#state !== 'pinging' || this.session.destroyed) return;
    this.#hasWritten ||= error !== null;
    this.#state = 'resting';
    this.wheel.set(this, this.wheel.clock.now() + REST_MS);
  }

  get #timeoutMs(): number {
    return Math.min(...this.#listeners.values());
  }

  /**
   * The PING stands behind all that the kernel holds already, which a slow client takes its time for: it is alive as long as it acknowledges
   * that. Only when everything has been acknowledged but the PING is not answered, or nothing is acknowledged any more, is it dead.
   */
  async #confirm(): Promise<void> {
    const pingedAt = this.#pingedAt;
    const socket = await this.find();
    // answered meanwhile, and another may be out
    if (this.#state !== 'pinging' || this.#pingedAt !== pingedAt) return;
    const isSlow = socket !== undefined && socket.unacknowledgedBytes > 0 && socket.silentMs < this.#timeoutMs;
    if (!isSlow) return this.#die();
    const again = socket.retransmits > 0 ? this.#timeoutMs - socket.silentMs : SLOW_MS;
    this.wheel.set(this, this.wheel.clock.now() + again);
  }

  #die(): void {
    this.#state = 'dead';
    for (const listener of [...this.#listeners.keys()]) listener.onDeadPeer();
    this.session.destroy();
  }
}
