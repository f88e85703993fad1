import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerTo, tokensOf } from './answer.js';
import { readCompletionRequest, type CompletionRequest } from './completion-request.js';
import { Completion, errorBody } from './completion.js';
import { ConnectionCount } from './connection-count.js';
import { MODELS, type Fault } from './models.js';

const FAILS_AFTER_TOKENS = 25;
const THINKS_MS = 5_000;

/**
 * An OpenAI-compatible server, so that the sample needs neither a key nor a network. The application talks to it over real HTTP,
 * exactly as to a provider far away: what closes its connections closes those that cost money.
 */
export class EmbeddedUpstream {
  readonly apiKey = `sk-${randomUUID()}`;
  readonly connections = new ConnectionCount();
  private readonly server = createServer((request, response) => {
    this.answer(request, response).catch(() => response.destroy());
  });

  constructor(private readonly tokensPerSecond: number) {}

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get baseURL(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // One connection per answer: what is counted as open is then what really is, without idle ones that are kept alive.
    response.setHeader('Connection', 'close');
    this.connections.count(response);
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions') return refuse(response, 404, 'not_found');
    if (request.headers.authorization !== `Bearer ${this.apiKey}`) return refuse(response, 401, 'invalid_api_key');

    const completion = await readCompletionRequest(request);
    if (!completion?.stream) return refuse(response, 400, 'invalid_request_error');
    const fault = MODELS.get(completion.model);
    if (fault === undefined) return refuse(response, 404, 'model_not_found');
    if (fault === 'rate-limit') return refuse(response, 429, 'rate_limit_exceeded');
    if (fault === 'slow-start') await sleep(THINKS_MS);
    await this.stream(completion, fault, response);
  }

  private async stream({ model, prompt }: CompletionRequest, fault: Fault, response: ServerResponse): Promise<void> {
    const completion = new Completion(randomUUID(), model);
    const tokens = tokensOf(answerTo(prompt));
    const startedAt = performance.now();
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
    write(response, completion.first());
    for (const [index, token] of tokens.entries()) {
      // Each token has its time since the start, so that late timers do not add up to a slower rate.
      await sleep(Math.max(0, startedAt + ((index + 1) * 1000) / this.tokensPerSecond - performance.now()));
      if (response.destroyed) return;
      if (fault === 'midway' && index === FAILS_AFTER_TOKENS) {
        write(response, errorBody('The model has lost its thread', 'server_error'));
        response.end();
        return;
      }
      if (!write(response, completion.token(token))) await movement(response);
    }
    write(response, completion.last('stop'));
    response.end('data: [DONE]\n\n');
  }
}

function write(response: ServerResponse, data: unknown): boolean {
  return response.write(`data: ${JSON.stringify(data)}\n\n`);
}

function movement(response: ServerResponse): Promise<unknown> {
  return Promise.race([once(response, 'drain'), once(response, 'close')]);
}

const REFUSALS = {
  not_found: 'There is nothing here but POST /v1/chat/completions',
  invalid_api_key: 'Incorrect API key provided',
  invalid_request_error: 'Expected a model, messages with text, and stream: true',
  model_not_found: 'There is no such model',
  rate_limit_exceeded: 'Rate limit reached: too many requests, try again later',
};

function refuse(response: ServerResponse, status: number, type: keyof typeof REFUSALS): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(errorBody(REFUSALS[type], type)));
}
