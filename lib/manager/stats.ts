import type { Channels } from '../channel/channels.js';
import type { CleanupReport } from '../session/cleanup.js';
import type { SessionRegistry } from '../session/session-registry.js';
import type { CloseReason } from '../options/close-reasons.js';
import type { SessionState } from '../session/state.js';

/** A picture of an application's sessions, of this process. Counters run from the application's start. */
export interface SessionStats {
  readonly sessions: Record<Exclude<SessionState, 'closed'>, number>;
  /** HTTP responses that are attached to a session now. */
  readonly connections: number;
  readonly opened: number;
  readonly endedByReason: Record<CloseReason, number>;
  /** Requests that were refused. */
  readonly rejected: number;
  readonly events: { readonly sent: number; readonly dropped: number };
  /** `pending` waits now, in the sessions and in Node. */
  readonly bytes: { readonly sent: number; readonly pending: number };
  /** Of sessions that can be resumed: how many that are over are remembered, and the bytes of memory that the logs of all take in this process. */
  readonly resume: { readonly ended: number; readonly bytes: number };
  /** Streams that read channels now, of this process, and what the channels' log holds: events, and their bytes on the wire. */
  readonly channels: { readonly streams: number; readonly events: number; readonly bytes: number };
  /**
   * How clients are noticed that vanished without a word: over HTTP/1.1 by the kernel's table of TCP connections, where that can be read
   * (Linux), over HTTP/2 by PING everywhere.
   */
  readonly deadPeerProbe: { readonly http1: 'tcp-table' | 'unavailable'; readonly http2: 'ping' };
  /** The last run of the cleanup job; `undefined` before the first. */
  readonly lastCleanup: CleanupReport | undefined;
}

export function takeStats(registry: SessionRegistry, channels: Channels, lastCleanup: CleanupReport | undefined): SessionStats {
  const { totals } = registry;
  const sessions = { connecting: 0, open: 0, detached: 0, closing: 0 };
  const events = { sent: totals.eventsSent, dropped: totals.eventsDropped };
  const bytes = { sent: totals.bytesSent, pending: 0 };
  let connections = 0;
  for (const session of registry) {
    sessions[session.state as keyof typeof sessions]++;
    connections += session.connections;
    events.sent += session.eventsSent;
    events.dropped += session.eventsDropped;
    bytes.sent += session.bytesSent;
    bytes.pending += session.pendingBytes;
  }
  return {
    sessions,
    connections,
    opened: totals.opened,
    endedByReason: { ...totals.endedByReason },
    rejected: totals.rejected,
    events,
    bytes,
    resume: registry.directory.held,
    channels: channels.stats(),
    deadPeerProbe: { http1: registry.connections.probe.isAvailable ? 'tcp-table' : 'unavailable', http2: 'ping' },
    lastCleanup,
  };
}
