import { createServer } from 'node:http';
import { Get, Res } from '@nestjs/common';
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
