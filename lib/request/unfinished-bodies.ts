import type { IncomingMessage } from 'node:http';
import type { HttpPair } from '../connection/http-response.js';

/**
 * HTTP/1.1 requests whose body had not arrived when their session began (a route with body parsing switched off). One that never
 * finishes keeps its connection busy after the response has ended, and with it `server.close()`, so a shutdown ends these connections.
 */
export class UnfinishedBodies {
  readonly #requests = new Set<IncomingMessage>();

  add({ request }: HttpPair): void {
    const { headers } = request;
    if (request.complete || request.httpVersionMajor > 1) return;
    // without a body the request is as good as complete
    if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return;
    this.#requests.add(request as IncomingMessage);
    request.once('close', () => this.#requests.delete(request as IncomingMessage));
  }

  /** Ends the connections, once what was written to them has left. */
  close(): void {
    for (const { complete, socket } of this.#requests) if (!complete) socket.destroySoon();
  }
}
