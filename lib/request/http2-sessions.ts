import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../clock/clock.js';
import type { TimerWheel } from '../clock/timer-wheel.js';
import { Http2Ping } from '../connection/http2-ping.js';

interface Entry {
  streams: number;
  /** The socket is gone. */
  readonly closed: Promise<void>;
  readonly ping: Http2Ping;
  /** Cuts the socket, also when the session has let go of it. */
  readonly cut: () => void;
}

/**
 * The HTTP/2 connections that have carried streams of ours, with how many they carry now. `server.close()` waits for them on Node 20
 * and 22 also when no stream is left, so a shutdown closes them.
 */
export class Http2Sessions {
  readonly #entries = new Map<Http2Session, Entry>();

  streamsOn(session: Http2Session): number {
    return this.#entries.get(session)?.streams ?? 0;
  }

  constructor(private readonly wheel: TimerWheel) {}

  /**
   * Counts a stream until it closes.
   * @returns the PING of its connection
   */
  add(stream: ServerHttp2Stream): Http2Ping | undefined {
    const { session } = stream;
    if (!session || session.destroyed) return undefined;
    const entry = this.#entries.get(session) ?? this.#watch(session);
    entry.streams++;
    stream.once('close', () => entry.streams--);
    return entry.ping;
  }

  /**
   * Tells the clients to go (GOAWAY) and ends each connection when its last stream has ended. `Http2Session.close()` waits for the peer's FIN
   * after that: what has not gone by `deadline` is cut.
   */
  async close(clock: Clock, deadline: number): Promise<void> {
    if (this.#entries.size === 0) return;
    for (const session of this.#entries.keys()) session.close();
    const closed = Promise.all([...this.#entries.values()].map((entry) => entry.closed));
    await new Promise<void>((resolve) => {
      const cancel = clock.schedule(resolve, Math.max(0, deadline - clock.now()));
      void closed.then(() => {
        cancel();
        resolve();
      });
    });
    for (const entry of this.#entries.values()) entry.cut();
  }

  #watch(session: Http2Session): Entry {
    // a session forbids most of its socket and lets go of it before it is closed: what is needed of it is taken now
    const { socket } = session;
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        this.#entries.delete(session);
        resolve();
      });
    });
    // eslint-disable-next-line @typescript-eslint/unbound-method -- what the session's proxy gives is bound to the socket
    const cut = socket.resetAndDestroy as () => void;
    const entry = { streams: 0, closed, cut, ping: new Http2Ping(session, this.wheel) };
    this.#entries.set(session, entry);
    return entry;
  }
}
