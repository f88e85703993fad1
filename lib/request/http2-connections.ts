import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../clock/clock.js';
import type { TimerWheel } from '../clock/timer-wheel.js';
import { within } from '../clock/within.js';
import { type Http2Transport, endpointsOf } from '../connection/http-response.js';
import { Http2Ping } from '../connection/http2-ping.js';
import type { TcpLookUp } from '../liveness/tcp-look-up.js';

interface Http2Connection extends Http2Transport {
  readonly session: Http2Session;
  /** Those that carry sessions. */
  readonly streams: Set<ServerHttp2Stream>;
  /** The socket is gone. */
  readonly closed: Promise<void>;
}

/**
 * The HTTP/2 connections that requests for managed routes have come on. `server.close()` waits for them on Node 20 and 22 also when no
 * stream is left, so a shutdown closes them.
 */
export class Http2Connections {
  readonly #connections = new Map<Http2Session, Http2Connection>();
  /** When what still lives is cut, by the clock: set once the application stops. */
  #deadline: number | undefined;

  constructor(
    private readonly wheel: TimerWheel,
    private readonly lookUp: TcpLookUp,
  ) {}

  /** Another request has come on a connection. */
  watch({ session }: ServerHttp2Stream): void {
    if (!session || session.destroyed || this.#connections.has(session)) return;
    this.#add(session);
    if (this.#deadline === undefined) return;
    // too late to be told with the others
    const clock = this.wheel.clock;
    session.close();
    clock.schedule(() => this.#cut(session), Math.max(0, this.#deadline - clock.now()));
  }

  /** How many streams of the connection carry sessions, this one not counted. */
  othersThan(stream: ServerHttp2Stream): number {
    const streams = this.#of(stream)?.streams;
    return streams ? streams.size - Number(streams.has(stream)) : 0;
  }

  /**
   * The stream carries a session, or one more after the first has failed.
   * @returns its connection
   */
  carry(stream: ServerHttp2Stream): Http2Transport | undefined {
    const connection = this.#of(stream);
    if (!connection || connection.streams.has(stream)) return connection;
    connection.streams.add(stream);
    stream.once('close', () => connection.streams.delete(stream));
    return connection;
  }

  /**
   * Tells the clients to go (GOAWAY) and ends each connection when its last stream has ended. `Http2Session.close()` waits for the peer's FIN
   * after that: what has not gone by `deadline` is cut.
   */
  async close(clock: Clock, deadline: number): Promise<void> {
    this.#deadline = deadline;
    const connections = [...this.#connections.values()];
    for (const { session } of connections) session.close();
    if (connections.length > 0) await within(clock, deadline, Promise.all(connections.map(({ closed }) => closed)));
    for (const { session } of connections) this.#cut(session);
  }

  #of({ session }: ServerHttp2Stream): Http2Connection | undefined {
    return session && this.#connections.get(session);
  }

  #add(session: Http2Session): void {
    let onClosed = (): void => undefined;
    const closed = new Promise<void>((resolve) => (onClosed = resolve));
    // a session forbids most of its socket, and lets go of it before that is closed: `once` gives the socket itself
    const socket = session.socket.once('close', () => {
      this.#connections.delete(session);
      onClosed();
    });
    const ping = new Http2Ping(session, this.wheel, () => this.lookUp.find(endpointsOf(socket)));
    this.#connections.set(session, { session, socket, closed, streams: new Set(), ping });
  }

  #cut(session: Http2Session): void {
    this.#connections.get(session)?.socket.destroy();
  }
}
