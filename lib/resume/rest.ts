import { Connection, type ConnectionContext, type ConnectionOwner } from '../connection/connection.js';
import type { ResponseStream } from '../connection/response-stream.js';
import type { Position } from '../log/event-log.js';
import type { ResolvedRouteOptions } from '../options/options.js';
import { LogBacklog } from './log-backlog.js';
import type { SessionLog } from './session-log.js';

/** It has what there is, or will come back for it: nobody else needs to know how it went. */
const NOBODY: ConnectionOwner = { onConnectionEnd: () => undefined, onReady: () => undefined };

/**
 * Gives a client what it missed of a session that is over, and ends the response.
 * Throws what Node, or an `on-headers` hook, has against its headers; then the framework can still answer.
 */
export function sendRest(
  response: ResponseStream,
  log: SessionLog,
  after: Position,
  options: ResolvedRouteOptions,
  context: ConnectionContext,
  openingLines: string,
): void {
  const backlog = new LogBacklog(log, after, options.buffer);
  const connection = new Connection(NOBODY, context, options, response, backlog);
  connection.attach();
  if (connection.isClosed) return;
  try {
    connection.sendHead();
  } catch (error) {
    connection.release();
    throw error;
  }
  connection.start(openingLines + backlog.idLine);
  connection.end([], options.buffer.stallTimeoutMs);
}
