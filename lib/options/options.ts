import type { ExecutionContext } from '@nestjs/common';
import type { SseEventInit } from '../event/sse-event.js';
import type { SseSession } from '../session/sse-session.js';
import type { CloseReason } from './close-reasons.js';

export interface HeartbeatOptions {
  /** Milliseconds without a write after which a comment is written. Default 15,000. */
  intervalMs?: number | undefined;
  /** The comment's text, without line breaks. Default `'heartbeat'`. */
  comment?: string | undefined;
}

/**
 * What happens to an event that does not fit into `buffer.maxBytes`:
 * - `'close'`: the session ends as `slow-client`;
 * - `'drop-oldest'`: events that wait longest make room;
 * - `'latest'`: until the client has caught up, only the newest event per `type` waits.
 */
export type OverflowPolicy = 'close' | 'drop-oldest' | 'latest';

export interface BufferOptions {
  /**
   * Bytes that may wait for one connection that does not read. Default 1,048,576. One event larger than that, with nothing before it, is
   * written.
   */
  maxBytes?: number | undefined;
  /** Default `'close'`. */
  overflow?: OverflowPolicy | undefined;
  /**
   * Milliseconds in which nothing moved while something waits, after which the session ends as `slow-client`; also how long an end may
   * take. Default 30,000.
   */
  stallTimeoutMs?: number | undefined;
}

export interface EndEventOptions {
  /** The `event:` name of the last event, whose data is `{"reason":"complete"}` or whichever reason. */
  type: string;
}

/** An error of the source, told to a client that already has its headers. `null` tells nothing. */
export type ErrorEventFactory = (this: void, error: unknown, session: SseSession) => SseEventInit | null;

/** Turns a payload that is not a string into the `data` of an event. */
export type Serializer = (this: void, data: unknown) => string;

export interface DeadPeerOptions {
  /**
   * Milliseconds in which a client has acknowledged nothing of what was sent, after which its session ends as `dead-peer`. Default 30,000.
   */
  timeoutMs?: number | undefined;
}

/** Authorisation that ends before the session does. It is asked for after the guards, and while the session is open. */
export interface AuthorizationOptions {
  /** Whether the session may go on; asked every `intervalMs`. A throw, or no answer within `intervalMs`, is a no. */
  revalidate?: ((this: void, session: SseSession) => boolean | Promise<boolean>) | undefined;
  /** Milliseconds between two questions. Default 60,000. */
  intervalMs?: number | undefined;
  /** When the client's token expires, in epoch milliseconds; `undefined` for never. */
  expiresAt?: ((this: void, context: ExecutionContext) => number | undefined) | undefined;
}

/** A session that outlives its connections: clients come back to it and miss nothing. */
export interface ResumeOptions {
  /** Milliseconds that a session runs on without any client, before it ends as `client-disconnect`. Default 30,000. */
  graceMs?: number | undefined;
  /** How many events its log keeps. Default 20,000. */
  maxEvents?: number | undefined;
  /**
   * How many bytes of events its log keeps, as they are on the wire. Default 8,388,608. An event that alone is larger is kept until the
   * next.
   */
  maxBytes?: number | undefined;
  /** What happens when the last client has gone: the session runs on for `graceMs`, or ends at once. Default `'detach'`. */
  onDisconnect?: 'detach' | 'cancel' | undefined;
}

/** Whether a client that comes back by itself to a session that has ended is stopped, once it has what it missed, or starts anew. */
export type AfterEnd = 'stop' | 'restart';

export interface LimitOptions {
  /**
   * Sessions at once, connecting and detached ones counted too. Default `false`: no limit. Set on a route it counts that route's sessions,
   * beside the module's limit; `false` on a route lifts that.
   */
  maxConnections?: number | false | undefined;
  /** Sessions at once of one principal. Default `false`. Set on a route it counts the principal's sessions on that route, likewise. */
  maxPerPrincipal?: number | false | undefined;
  /** Sessions at once on one HTTP/2 connection (HTTP/1.1 has one per socket anyway). Default `false`. */
  maxPerSocket?: number | false | undefined;
  /**
   * What happens to a request above `maxPerPrincipal`: it is refused, or the principal's oldest session ends as `evicted`, which needs
   * `resume`. Default `'reject'`.
   */
  perPrincipalPolicy?: 'reject' | 'evict-oldest' | undefined;
}

/**
 * What the log of all channels keeps, for clients that come back. The oldest events are trimmed; what a client misses by that it is told
 * (`event: reset`).
 */
export interface ChannelOptions {
  /**
   * Bytes of events, as they are on the wire. In memory each takes some 400 bytes more (600 if it is the only one of its channel), so that
   * many small events take a multiple of it. Data with line breaks is there twice, and a text with any character beyond Latin-1 takes two
   * bytes for each; one of more than 64 KiB that was written is there as bytes, too. One event that alone is larger is kept until the next.
   * Default 67,108,864.
   */
  maxBytes?: number | undefined;
  /** Milliseconds. Default 300,000 (5 minutes). */
  maxAgeMs?: number | undefined;
}

export interface CleanupOptions {
  /** Milliseconds between two runs of the job `sse-session-cleanup`. Default 30,000. */
  intervalMs?: number | undefined;
}

export interface RouteShutdownOptions {
  /** Milliseconds that sessions have to end by themselves when the application stops. Default 0, at most `shutdown.timeoutMs`. */
  finishMs?: number | undefined;
}

export interface ShutdownOptions extends RouteShutdownOptions {
  /** Milliseconds after which the shutdown waits for nobody any more. Default 10,000. */
  timeoutMs?: number | undefined;
  /** Milliseconds over which the clients' return is spread at least (by the `retry:` they get). Default 5,000. */
  retryJitterMs?: number | undefined;
}

/** What the module sets for every route, and a route may set for itself. */
export interface StreamOptions {
  /** A comment whenever nothing was written for a while; `false` for none. */
  heartbeat?: HeartbeatOptions | false | undefined;
  /**
   * Longest life of a session in milliseconds from its creation, shortened by a jitter of up to 10 %; only `false` lifts it. Default
   * 1,800,000 (30 minutes).
   */
  timeoutMs?: number | false | undefined;
  /** Ends a session that had no event for so many milliseconds; heartbeats do not count. Default `false`. */
  idleTimeoutMs?: number | false | undefined;
  /** The `retry:` sent on open, in milliseconds, lengthened by a jitter of up to 50 %; `false` for none. Default 2,000. */
  retryMs?: number | false | undefined;
  /**
   * When the headers go out: one macrotask after the handler has resolved, or with the first event (an upstream's 401 or 429 keeps its
   * status). Default `'handler'`.
   */
  openOn?: 'handler' | 'first-event' | undefined;
  /** Whether a plain object with `data` is read as an event, or everything as a payload. Default `'event'`. */
  emit?: 'event' | 'payload' | undefined;
  /** How a payload that is not a string becomes `data`. Default: `JSON.stringify`. */
  serializer?: Serializer | undefined;
  /**
   * What a client is told of an error after the headers; `false` for nothing. Default: type `error`, with the message of an
   * `HttpException`, else `Internal server error`.
   */
  errorEvent?: ErrorEventFactory | false | undefined;
  /** A last event, so that a client can tell an end from a cut. Default `false`. */
  endEvent?: EndEventOptions | false | undefined;
  /** What may wait for a connection that does not read. */
  buffer?: BufferOptions | undefined;
  /** When a client that vanished without a word is given up; `false` for never (then its lifetime bounds it). */
  deadPeer?: DeadPeerOptions | false | undefined;
  /** Ends sessions whose authorisation has ended, as `unauthorized`. Default `false`. */
  authorization?: AuthorizationOptions | false | undefined;
  /** How many sessions there may be. */
  limits?: LimitOptions | undefined;
  /**
   * How a request is refused: with a 200 that says `retry:` and ends, as an `EventSource` never comes back after another status, or with
   * 429 or 503. Default `'retry'`.
   */
  refusal?: 'retry' | 'status' | undefined;
  /** Who owns the session. An empty string is nobody. */
  principal?: ((this: void, context: ExecutionContext) => string | undefined) | undefined;
  /** What the application calls this run (the answer, not the chat), within its principal. An empty string is no key. */
  key?: ((this: void, context: ExecutionContext) => string | undefined) | undefined;
  /** Whether clients come back to their sessions: an object, which may be empty, or `false`. Default `false`. See docs/resume.md. */
  resume?: ResumeOptions | false | undefined;
  /**
   * With `resume`, per close reason, whether a client that comes back by itself after the end is stopped (by a 204) or starts anew.
   * Default: `'stop'` after `complete`, `cancelled`, `evicted`, `error`, `timeout` and `idle-timeout`, `'restart'` after the others;
   * `false`: always `'restart'`.
   */
  afterEnd?: Partial<Record<CloseReason, AfterEnd>> | false | undefined;
}

/** The options of `SseSessionModule.forRoot()`. */
export interface SseSessionModuleOptions extends StreamOptions {
  /**
   * How many bytes may wait in the whole process, in sessions and in Node; above it the sessions with most waiting end as `slow-client`.
   * Default 268,435,456.
   */
  maxTotalBytes?: number | undefined;
  /**
   * How much memory the logs of all resumable sessions may take in the process, in bytes; above it the oldest ended ones go first. Default
   * 268,435,456.
   */
  resumeMaxTotalBytes?: number | undefined;
  /** What the channels' log keeps. */
  channels?: ChannelOptions | undefined;
  /** The scheduled job that ends what all else missed. */
  cleanup?: CleanupOptions | undefined;
  /** How the application stops. */
  shutdown?: ShutdownOptions | undefined;
}

/** The options of a route, merged key by key over the module's. */
export interface RouteOptions extends StreamOptions {
  shutdown?: RouteShutdownOptions | undefined;
}

/** A group of options with every default in its place. */
export type Complete<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

/** A limit on the sessions of the process, which the module sets, and one on those of the route, which the route sets. */
export interface ResolvedLimit {
  process: number | false;
  route: number | false;
}

/** The options of one route with every default in its place. */
export interface ResolvedRouteOptions {
  heartbeat: Complete<HeartbeatOptions> | false;
  timeoutMs: number | false;
  idleTimeoutMs: number | false;
  retryMs: number | false;
  openOn: 'handler' | 'first-event';
  emit: 'event' | 'payload';
  serializer: Serializer;
  errorEvent: ErrorEventFactory | false;
  endEvent: EndEventOptions | false;
  buffer: Complete<BufferOptions>;
  deadPeer: Complete<DeadPeerOptions> | false;
  authorization: (AuthorizationOptions & { intervalMs: number }) | false;
  limits: {
    maxConnections: ResolvedLimit;
    maxPerPrincipal: ResolvedLimit;
    maxPerSocket: number | false;
    perPrincipalPolicy: 'reject' | 'evict-oldest';
  };
  refusal: 'retry' | 'status';
  principal: ((context: ExecutionContext) => string | undefined) | undefined;
  key: ((context: ExecutionContext) => string | undefined) | undefined;
  resume: Complete<ResumeOptions> | false;
  /** Of all reasons, when `resume` is on. */
  afterEnd: Record<CloseReason, AfterEnd>;
  finishMs: number;
}
