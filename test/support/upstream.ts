import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that streams chat completions as OpenAI does, and counts who listens. */
export interface Upstream {
  readonly baseURL: string;
  /** Streams under way. */
  readonly open: number;
  /** Requests since the start. */
  readonly requests: number;
  /** Chunks since the start. */
  readonly chunks: number;
  /** When, by `performance.now()`, each stream's connection closed before its end. */
  readonly closedAt: readonly number[];
  /** Resolves when the next stream's connection closes, with the time. */
  nextClose(): Promise<number>;
  close(): Promise<void>;
}

export interface UpstreamOptions {
  /** Milliseconds between two chunks; 0 for none after the first, so that a `next()` stays pending. */
  readonly everyMs?: number;
  /** Chunks until `[DONE]`. Default: no end. */
  readonly count?: number;
  /** Answers with this status and an error. */
  readonly status?: number;
}

export async function startUpstream({ everyMs = 5, count = Infinity, status = 200 }: UpstreamOptions = {}): Promise<Upstream> {
  const state = { open: 0, requests: 0, chunks: 0, closedAt: [] as number[] };
  const waiters: ((at: number) => void)[] = [];
  const answer = (_request: IncomingMessage, response: ServerResponse): void => {
    state.requests++;
    if (status !== 200) {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end('{"error":{"message":"refused by the upstream"}}');
      return;
    }
    state.open++;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    let sent = 0;
    let timer: NodeJS.Timeout | undefined;
    const send = (): void => {
      if (sent === count) {
        clearInterval(timer);
        response.end('data: [DONE]\n\n');
        return;
      }
      state.chunks++;
      response.write(`data: ${JSON.stringify(chunk(sent++))}\n\n`);
    };
    send();
    if (everyMs > 0) timer = setInterval(send, everyMs);
    response.once('close', () => {
      clearInterval(timer);
      state.open--;
      if (response.writableFinished) return;
      const at = performance.now();
      state.closedAt.push(at);
      waiters.splice(0).forEach((resolve) => resolve(at));
    });
  };
  const server = createServer((request, response) => {
    request.resume();
    request.once('end', () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseURL: `http://127.0.0.1:${port}/v1`,
    get open() {
      return state.open;
    },
    get requests() {
      return state.requests;
    },
    get chunks() {
      return state.chunks;
    },
    closedAt: state.closedAt,
    nextClose: () => new Promise((resolve) => waiters.push(resolve)),
    close: () => closeServer(server),
  };
}

/** A chunk as OpenAI sends it: with an `id`, and without `data`, so that it is a payload and no event. */
function chunk(n: number): object {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'test',
    choices: [{ index: 0, delta: { content: `token-${n} ` }, finish_reason: null }],
  };
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
