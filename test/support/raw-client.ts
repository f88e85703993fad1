import { connect as connectSocket, type Socket } from 'node:net';

/** What of a response has arrived so far: its head parsed, its body without the chunk framing. */
export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether the end of the body was seen on the wire: its last chunk, its `Content-Length`, or none by its status. */
  readonly complete: boolean;
}

type Predicate = (client: RawClient) => boolean;

/** An HTTP/1.1 client on a bare socket, which can do to a server what no proper client does. One response at a time. */
export class RawClient {
  /** All bytes that have arrived since the last `request`, as Latin-1, so that one character is one byte. */
  received = '';
  /** How many bytes have arrived since the connection was made. */
  bytesReceived = 0;
  error: Error | undefined;
  /** Resolves when the socket is gone, whoever ended it. */
  readonly closed: Promise<void>;
  private readonly watchers = new Set<() => void>();
  private isClosed = false;

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.bytesReceived += chunk.length;
      this.notify();
    });
    socket.on('error', (error) => (this.error = error));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
        this.notify();
      });
    });
    open.add(this);
    void this.closed.then(() => open.delete(this));
  }

  /** Writes one request as it would stand on the wire; `Host` is there unless given, `Content-Length` too if there is a body. */
  request(method: string, path: string, headers: Record<string, string> = {}, body?: string): this {
    this.received = '';
    return this.write(encodeRequest(method, path, headers, body));
  }

  /** Writes bytes as they are: half a request, two at once, nonsense. */
  write(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** The response so far, or `undefined` until its head is complete. */
  get response(): RawResponse | undefined {
    return parseResponse(this.received);
  }

  /** The body so far, decoded as UTF-8. */
  get body(): string {
    return this.response?.body ?? '';
  }

  /** Waits until `wanted` stands in the body, or the predicate holds. Rejects at the deadline, or when the socket closes without it. */
  waitFor(wanted: string | Predicate, deadlineMs = 5_000): Promise<RawResponse> {
    const holds = typeof wanted === 'string' ? () => this.body.includes(wanted) : () => wanted(this);
    return new Promise((resolve, reject) => {
      const settle = (failure?: string) => {
        clearTimeout(timer);
        this.watchers.delete(check);
        if (failure === undefined) resolve(this.response ?? NO_RESPONSE);
        else reject(new Error(`${failure} before ${String(wanted)}; received ${JSON.stringify(this.received.slice(-2_000))}`));
      };
      const check = () => {
        if (holds()) settle();
        else if (this.isClosed) settle(`the connection closed${this.error ? ` (${this.error.message})` : ''}`);
      };
      const timer = setTimeout(() => settle(`${deadlineMs} ms passed`), deadlineMs);
      this.watchers.add(check);
      check();
    });
  }

  /** Waits for the head of the response. */
  head(): Promise<RawResponse> {
    return this.waitFor((client) => client.response !== undefined);
  }

  /** Waits for the whole response: the end of its body, or the end of the connection if nothing else marks it. */
  async whole(): Promise<RawResponse> {
    return this.waitFor((client) => client.response?.complete === true || (client.isClosed && client.response !== undefined));
  }

  /** Leaves as a closed tab does: FIN, and nothing is read any more. */
  async fin(): Promise<void> {
    this.socket.end();
    this.socket.destroy();
    await this.closed;
  }

  /** Sends FIN and goes on reading (SHUT_WR). */
  halfClose(): void {
    this.socket.end();
  }

  /** Leaves with RST. */
  async reset(): Promise<void> {
    this.socket.resetAndDestroy();
    await this.closed;
  }

  /** Stops reading: the kernel's buffers fill, then the server's. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  private notify(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

const open = new Set<RawClient>();
const NO_RESPONSE: RawResponse = { status: 0, headers: {}, body: '', complete: false };

/** Connects to a server on 127.0.0.1. */
export async function connect(port: number): Promise<RawClient> {
  const socket = connectSocket({ port, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  // Half-open only for the side that sends FIN: a server's FIN is answered, as every client does.
  socket.once('end', () => socket.end());
  return new RawClient(socket);
}

/** Destroys every client that a test has left open. */
export async function closeClients(): Promise<void> {
  await Promise.all([...open].map((client) => client.fin()));
}

function encodeRequest(method: string, path: string, headers: Record<string, string>, body: string | undefined): string {
  const given = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const lines = [`${method} ${path} HTTP/1.1`];
  if (!given.has('host')) lines.push('Host: localhost');
  if (body !== undefined && !given.has('content-length')) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`;
}

function parseResponse(bytes: string): RawResponse | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const status = Number(statusLine.split(' ')[1]);
  const { body, complete } = readBody(bytes.slice(end + 4), status, headers);
  return { status, headers, body: Buffer.from(body, 'latin1').toString('utf8'), complete };
}

function readBody(bytes: string, status: number, headers: Record<string, string>): { body: string; complete: boolean } {
  if (status === 204 || status === 304) return { body: '', complete: true };
  if (headers['transfer-encoding']?.toLowerCase() === 'chunked') return dechunk(bytes);
  if (headers['content-length'] === undefined) return { body: bytes, complete: false };
  const length = Number(headers['content-length']);
  return { body: bytes.slice(0, length), complete: bytes.length >= length };
}

/** Takes the chunk framing off, as far as it has arrived; a chunk that has arrived in part gives that part. */
function dechunk(bytes: string): { body: string; complete: boolean } {
  const parts: string[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return { body: parts.join(''), complete: false };
    const size = Number.parseInt(bytes.slice(at, lineEnd), 16);
    if (!Number.isInteger(size)) throw new Error(`no chunk size: ${JSON.stringify(bytes.slice(at, lineEnd))}`);
    if (size === 0) return { body: parts.join(''), complete: bytes.indexOf('\r\n\r\n', lineEnd) >= 0 };
    parts.push(bytes.slice(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}
