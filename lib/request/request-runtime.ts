import type { SessionRegistry } from '../session/session-registry.js';
import type { Shutdown } from '../session/shutdown.js';
import { Admission } from './admission.js';
import type { Controllers } from './controllers.js';
import { Http2Sessions } from './http2-sessions.js';
import { Unanswered } from './unanswered.js';
import { UnfinishedBodies } from './unfinished-bodies.js';
import { RouteTable } from './route-table.js';

/** What the interceptors of an application share. */
export class RequestRuntime {
  readonly routes: RouteTable;
  readonly admission: Admission;
  readonly http2Sessions: Http2Sessions;
  readonly unfinishedBodies = new UnfinishedBodies();
  readonly unanswered: Unanswered;

  constructor(
    readonly registry: SessionRegistry,
    readonly shutdown: Shutdown,
    readonly controllers: Controllers,
  ) {
    this.http2Sessions = new Http2Sessions(registry.wheel);
    this.routes = new RouteTable(registry.options);
    this.unanswered = new Unanswered(registry.wheel, registry.logger);
    this.admission = new Admission(registry, shutdown, this.http2Sessions);
  }
}
