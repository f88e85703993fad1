import type { Http2Session, ServerHttp2Stream } from 'node:http2';

/**
 * The HTTP/2 connections that have carried streams of ours, with how many they carry now. `server.close()` waits for them on Node 20
 * and 22 also when no stream is left, so a shutdown closes them.
 */
export class Http2Sessions {
  readonly #streams = new Map<Http2Session, number>();

  streamsOn(session: Http2Session): number {
    return this.#streams.get(session) ?? 0;
  }

  /** Counts a stream until it closes. */
  add(stream: ServerHttp2Stream): void {
    const { session } = stream;
    if (!session) return;
    if (!this.#streams.has(session)) session.once('close', () => this.#streams.delete(session));
    this.#streams.set(session, this.streamsOn(session) + 1);
    stream.once('close', () => {
      if (this.#streams.has(session)) this.#streams.set(session, this.streamsOn(session) - 1);
    });
  }

  /** Tells the clients to go (GOAWAY), and ends each connection when its last stream has ended (`Http2Session.close()`). */
  close(): void {
    for (const session of this.#streams.keys()) session.close();
  }
}
