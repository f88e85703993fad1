import { type IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { TcpEndpoints } from '../liveness/tcp-table.js';
import type { Http2Ping } from './http2-ping.js';
import type { ResponseListener, ResponseStream } from './response-stream.js';
import { canBypassResponse, writeChunk } from './chunked-write.js';

/** What a stream of events is sent with: WHATWG HTML 9.2.5 for the type; the others keep caches, compression and proxies from holding it back. */
export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};

/**
 * A request and its response as Node has them, whichever framework stands above. Over HTTP/2 they are those of its compatibility API, which has
 * everything that is used here.
 */
export interface HttpPair {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Puts the headers that the application has set by the framework on the response; called once, before they go out. */
  applyHeaders(): void;
  /** Keeps the framework from answering. */
  hijack(): void;
  /** Whether the request has its answer, or somebody has taken it upon themselves. */
  isAnswered(): boolean;
}

/** The HTTP/2 stream under a response, if there is one. */
export function http2Stream(response: HttpPair['response']): ServerHttp2Stream | undefined {
  return (response as { stream?: ServerHttp2Stream }).stream;
}

/** Whether nobody is there any more to be answered. */
export function isGone(response: HttpPair['response']): boolean {
  const stream = http2Stream(response);
  return stream ? stream.destroyed || stream.closed : response.destroyed;
}

/** The HTTP/2 connection under a response. */
export interface Http2Transport {
  readonly ping: Http2Ping;
  readonly socket: Socket;
}

/** Both ends of a TCP connection; absent when it is gone, or none. */
export function endpointsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): TcpEndpoints | undefined {
  if (localAddress === undefined || localPort === undefined || remoteAddress === undefined || remotePort === undefined) return undefined;
  return { localAddress, localPort, remoteAddress, remotePort };
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- to compare with
const nodesOwnWriteHead = ServerResponse.prototype.writeHead;

/** Sends the headers of a stream, with status 200 also for POST: a client takes no other for a stream. */
export function sendHead(http: HttpPair): void {
  const { response } = http;
  http.applyHeaders();
  for (const name of ['Content-Length', 'Content-Encoding']) response.removeHeader(name);
  // whoever has put a writeHead() of their own on the response may pass on the status alone, or look at the headers first
  if (response.writeHead !== nodesOwnWriteHead) for (const [name, value] of Object.entries(STREAM_HEADERS)) response.setHeader(name, value);
  try {
    // writeHead, not statusCode: `on-headers` hooks of middleware (sessions, cookies) run there. With the headers in it, as Node makes a table of
    // those that are set before and keeps it for as long as the response lives; so getHeader() does not show them later, as with Nest's @Sse()
    response.writeHead(200, STREAM_HEADERS);
  } catch (error) {
    // the framework answers after all, and not with a stream
    for (const name of Object.keys(STREAM_HEADERS)) response.removeHeader(name);
    throw error;
  }
  http.hijack();
}

/** The end comes as 'close'. */
const ignoreError = (): void => undefined;

/**
 * A {@link ResponseStream} over `node:http` or `node:http2`. What each kind of end looks like in Node differs (a FIN, an RST, a
 * half-close, a reset stream); the first `close` of the response or of an aborted request is taken, and the others not listened to any more.
 */
export class HttpResponse implements ResponseStream {
  readonly #response: ServerResponse;
  readonly #request: IncomingMessage;
  readonly #stream: ServerHttp2Stream | undefined;
  /** HTTP/1.1 only: HTTP/2 streams tell reliably themselves. */
  readonly #socket: Socket | undefined;
  /** Until the headers are out: what the framework has of it is not held for the life of a stream. */
  #http: HttpPair | undefined;
  #listener: ResponseListener | undefined;
  #bypassesResponse = false;
  #hearsDrains = false;
  #hasFinished = false;

  constructor(
    http: HttpPair,
    private readonly http2?: Http2Transport,
  ) {
    this.#http = http;
    this.#response = http.response;
    this.#request = http.request;
    this.#stream = http2Stream(http.response);
    this.#socket = this.#stream ? undefined : (this.#response.socket ?? undefined);
  }

  get writableLength(): number {
    return this.#response.writableLength;
  }

  get isTcp(): boolean {
    return this.#socket !== undefined;
  }

  get #anySocket(): Socket | undefined {
    return this.#socket ?? this.http2?.socket;
  }

  get remotePort(): number | undefined {
    return this.#anySocket?.remotePort;
  }

  get endpoints(): TcpEndpoints | undefined {
    const socket = this.#anySocket;
    return socket && endpointsOf(socket);
  }

  acknowledgedBytes(unacknowledgedBytes: number): number | undefined {
    // how much of it the kernel has nobody tells on HTTP/2: only that what it holds becomes less; and when it holds nothing, it is the window of
    // this stream alone that the client has closed, of which it knows nothing
    if (this.http2) return unacknowledgedBytes === 0 ? undefined : -unacknowledgedBytes;
    return this.#socket && this.#socket.bytesWritten - this.#socket.writableLength - unacknowledgedBytes;
  }

  get isGone(): boolean {
    return isGone(this.#response) || (!this.#stream && (this.#socket === undefined || this.#socket.destroyed));
  }

  get isAnswered(): boolean {
    return this.#http === undefined || this.#http.isAnswered();
  }

  listen(listener: ResponseListener, deadPeerTimeoutMs: number | false): void {
    this.#listener = listener;
    if (deadPeerTimeoutMs !== false) this.http2?.ping.add(listener, deadPeerTimeoutMs);
    // a response without an 'error' listener turns a late write into an uncaughtException; the end itself comes as 'close'
    this.#response.on('error', ignoreError);
    this.#response.on('close', this.#onClose);
    this.#request.on('close', this.#onClose);
    if (this.isGone) this.#onClose();
  }

  open(): void {
    if (!this.#http) return;
    sendHead(this.#http);
    this.#http = undefined;
    this.#response.flushHeaders();
    this.#bypassesResponse = this.#socket !== undefined && canBypassResponse(this.#response, this.#socket);
  }

  write(chunk: string | Buffer, byteLength: number, more: boolean, isUnique: boolean): boolean {
    const socket = this.#socket;
    // somebody else may have ended one or the other, and nothing may follow the last chunk
    if (socket && this.#bypassesResponse && !more && socket.writable && !this.#response.writableEnded) {
      if (writeChunk(socket, chunk, byteLength, isUnique)) return true;
      socket.once('drain', () => this.#listener?.onDrain());
      return false;
    }
    // only `false` asks to wait: a write() that middleware has replaced may return nothing
    const takesMore = this.#response.write(chunk) !== false;
    if (!takesMore) this.#hearDrains();
    this.http2?.ping.onWrite();
    return takesMore;
  }

  /** Not once for each: middleware may put the listener on a stream of its own, and would take it from the wrong one. */
  #hearDrains(): void {
    if (this.#hearsDrains) return;
    this.#hearsDrains = true;
    this.#response.on('drain', () => this.#listener?.onDrain());
  }

  end(closesSocket: boolean): void {
    // an event and not a property, which Fastify's inject() leaves undefined
    this.#response.once('finish', () => {
      this.#hasFinished = true;
      if (closesSocket) this.#socket?.destroySoon();
    });
    this.#response.end();
  }

  destroy(): void {
    this.#unlisten();
    this.#cut();
  }

  release(): void {
    this.#unlisten();
    this.#response.off('error', ignoreError);
  }

  #cut(): void {
    if (!this.#stream) {
      try {
        this.#response.destroy();
      } catch {
        // middleware has replaced it; the socket is Node's own
        this.#socket?.destroy();
      }
      return;
    }
    // destroy() alone resets the stream with NO_ERROR, which a client takes for a complete answer
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#stream.destroy();
  }

  /**
   * Of the response, which Node closes with its socket, and of the request: a half-close with unsent data shows there alone. By itself a request's
   * `close` means little: it also comes when a body was consumed.
   */
  readonly #onClose = (): void => {
    const listener = this.#listener;
    if (!listener || !(this.#request.aborted || this.isGone)) return;
    const error = (this.#stream ?? this.#socket)?.errored ?? undefined;
    // a stream that the client closes with NO_ERROR finishes too, but nobody has ended it
    const finished = this.#stream
      ? this.#response.writableEnded && this.#stream.rstCode === 0 && this.#stream.writableFinished
      : this.#hasFinished || this.#response.writableFinished;
    this.#unlisten();
    // a half-closed connection still holds what was not sent
    if (!finished) this.#cut();
    listener.onClose(finished, error);
  };

  #unlisten(): void {
    if (!this.#listener) return;
    this.http2?.ping.delete(this.#listener);
    this.#listener = undefined;
    this.#response.off('close', this.#onClose);
    this.#request.off('close', this.#onClose);
    // the 'error' listener stays: a write that is still under way may fail after the end
  }
}
