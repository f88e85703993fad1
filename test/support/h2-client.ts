import { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, connect } from 'node:http2';

/** A request over HTTP/2 without TLS, on a connection of its own. */
export interface H2Request {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  readonly status: Promise<number>;
  readonly headers: Promise<IncomingHttpHeaders>;
  /** What has arrived of the body. */
  body(): string;
  /** Resolves when the stream is over, with the whole body. */
  readonly whole: Promise<string>;
}

/** Sends one request; `session` reuses a connection. */
export function h2Request(
  url: string,
  path: string,
  session: ClientHttp2Session = connectH2(url),
  accept = 'text/event-stream',
): H2Request {
  const stream = session.request({ ':path': path, accept });
  const headers = new Promise<IncomingHttpHeaders>((resolve) => stream.once('response', resolve));
  let body = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => (body += chunk));
  stream.on('error', () => undefined);
  return {
    session,
    stream,
    status: headers.then((received) => Number(received[':status'])),
    headers,
    body: () => body,
    whole: new Promise((resolve) => stream.once('close', () => resolve(body))),
  };
}

/** A connection for several requests. */
export function connectH2(url: string): ClientHttp2Session {
  // whose certificate it is does not matter to a test
  const session = connect(url, { rejectUnauthorized: false });
  session.on('error', () => undefined);
  return session;
}
