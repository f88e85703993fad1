import { http2Stream } from '../connection/http-response.js';
import type { SessionRegistry } from '../session/session-registry.js';
import type { Shutdown } from '../session/shutdown.js';
import { Admission } from './admission.js';
import type { Controllers } from './controllers.js';
import type { HttpExchange } from './http-exchange.js';
import { Http2Connections } from './http2-connections.js';
import { Unanswered } from './unanswered.js';
import { RouteTable } from './route-table.js';

const ANSWER_BEFORE_CUT_MS = 100;

/** What the interceptors of an application share. */
export class RequestRuntime {
  readonly routes: RouteTable;
  readonly admission: Admission;
  /** What would keep the server from closing: */
  readonly http2Connections: Http2Connections;
  readonly unanswered: Unanswered;

  constructor(
    readonly registry: SessionRegistry,
    readonly shutdown: Shutdown,
    readonly controllers: Controllers,
  ) {
    this.http2Connections = new Http2Connections(registry.wheel, registry.connections.lookUp);
    this.routes = new RouteTable(registry.options);
    this.unanswered = new Unanswered(registry.wheel, registry.logger);
    this.admission = new Admission(registry, shutdown, this.http2Connections);
  }
  /** A request has come for a managed route. */
  watch(exchange: HttpExchange): void {
    const stream = http2Stream(exchange.response);
    if (stream) this.http2Connections.watch(stream);
  }

  /** Lets the server close, by `deadline` at the latest: all sessions have ended. */
  async stop(deadline: number): Promise<void> {
    // a little before what still lives is cut: an answer has to be written
    this.unanswered.stop(deadline - ANSWER_BEFORE_CUT_MS);
    await this.http2Connections.close(this.registry.clock, deadline);
  }
}
