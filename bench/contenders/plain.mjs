import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Get, Req, Res } from '@nestjs/common';
import { Subject } from 'rxjs';
import { decorate } from './decorate.mjs';
import { listen } from './listen.mjs';
import { nest } from './nest.mjs';

const HEAD = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache, no-transform', 'X-Accel-Buffering': 'no' };

/** The bytes of an event are made once, and given to `response.write()` of each response. */
class Responses {
  #all = new Set();

  constructor({ heartbeatMs, tokens, ended }) {
    this.tokens = tokens;
    this.ended = ended;
    const comment = Buffer.from(': heartbeat\n');
    if (heartbeatMs) setInterval(() => this.#write(comment), heartbeatMs);
  }

  publish = ({ data }) => this.#write(Buffer.from(`data: ${data}\n\n`));

  add(response) {
    const { socket } = response;
    this.#begin(response);
    this.#all.add(response);
    response.on('close', () => {
      this.#all.delete(response);
      this.ended(socket);
    });
  }

  async stream(response) {
    const tokens = this.tokens();
    this.#begin(response);
    response.on('close', () => tokens.return());
    for await (const token of tokens) response.write(`data: ${token}\n\n`);
  }

  #begin(response) {
    response.writeHead(200, HEAD);
    response.flushHeaders();
  }

  #write(bytes) {
    for (const response of this.#all) response.write(bytes);
  }
}

export async function plain(options) {
  const responses = new Responses(options);
  const server = createServer((request, response) => {
    if (request.url === '/tokens') void responses.stream(response);
    else responses.add(response);
  });
  return { server: await listen(server), publish: responses.publish };
}

/** A route of Nest that does what the plain server does: the floor of its adapter. */
export const bareNest = (makeAdapter) => async (options) => {
  const responses = new Responses(options);
  class BareController {
    stream(response) {
      response.hijack?.();
      responses.add(response.raw ?? response);
    }
    tokens(response) {
      response.hijack?.();
      void responses.stream(response.raw ?? response);
    }
  }
  decorate(BareController.prototype, 'stream', [Res()], Get('stream'));
  decorate(BareController.prototype, 'tokens', [Res()], Get('tokens'));
  return { server: await nest(BareController, makeAdapter()), publish: responses.publish };
};

/** What no session can be without, in one object: an id, its deadlines, its request's context, a subscription to its source. */
class LeastSession {
  id = Buffer.from(randomUUID()).toString('latin1');
  lastWriteAt = performance.now();
  lastActivityAt = performance.now();
  endsAt = performance.now() + 1_800_000;
  scope = new AsyncResource('Session');

  constructor(request, response, source) {
    this.request = request;
    this.response = response;
    this.remoteAddress = request.socket.remoteAddress;
    request.on('close', this.onClose);
    response.on('close', this.onClose);
    response.on('error', () => undefined);
    this.subscription = source.subscribe(this);
  }

  next(bytes) {
    this.response.write(bytes);
  }

  onClose = () => this.subscription.unsubscribe();
}

/** The floor of a session on top of that route: what `--heap` compares ours with. */
export const leastSession = (makeAdapter) => async () => {
  const events = new Subject();
  const sessions = new Map();
  class LeastController {
    stream(response, request) {
      response.hijack?.();
      const raw = response.raw ?? response;
      raw.writeHead(200, HEAD);
      raw.flushHeaders();
      const session = new LeastSession(request.raw ?? request, raw, events);
      sessions.set(session.id, session);
    }
  }
  decorate(LeastController.prototype, 'stream', [Res(), Req()], Get('stream'));
  return { server: await nest(LeastController, makeAdapter()), publish: ({ data }) => events.next(Buffer.from(`data: ${data}\n\n`)) };
};
