/*
 * The path of a request, folder by folder:
 *
 *   decorators/  @ManagedSse() makes a method a managed route           module/   what Nest starts and stops
 *   request/     the interceptor: admission, then a session             manager/  the sessions from outside
 *   session/     its life: one state, its timers, its hooks             options/  what can be set, and the defaults
 *   source/      what the handler returned, read at the client's pace   clock/    time: one timer wheel for all
 *   event/       what it emits becomes bytes, once                      channel/  what is published to many
 *   resume/      a session's log, and the connections that read it      log/      what was sent, for who comes back
 *   connection/  what waits for the client, and the response itself     testing/  the same without sockets
 *
 * docs/architecture.md tells it at length, and which folder may import which.
 */
export { SseSessionModule } from './module/sse-session.module.js';
export type { SseSessionModuleExtras, SseSessionOptionsFactory } from './module/options-builder.js';
export type {
  AfterEnd,
  AuthorizationOptions,
  BufferOptions,
  ChannelOptions,
  CleanupOptions,
  DeadPeerOptions,
  EndEventOptions,
  ErrorEventFactory,
  HeartbeatOptions,
  LimitOptions,
  OverflowPolicy,
  ResumeOptions,
  RouteShutdownOptions,
  Serializer,
  ShutdownOptions,
  SseSessionModuleOptions,
} from './options/options.js';
export type { Channel, ChannelStream, ChannelStreamOptions } from './channel/channel.js';
export { CurrentSession } from './decorators/current-session.js';
export { LastEventId } from './decorators/last-event-id.js';
export {
  ManagedSse,
  type ManagedSseHooks,
  type ManagedSseOptions,
  type NameTheControllerAsTypeParameter,
} from './decorators/managed-sse.js';
export { OnSseSession } from './decorators/on-sse-session.js';
export { SseSessionError, type SseSessionErrorCode } from './errors.js';
export { type Sendable, type SseEvent, type SseEventInit, sseEvent } from './event/sse-event.js';
export type { SessionFilter } from './manager/filter.js';
export type { ResetReason } from './event/reset.js';
export { SessionManager } from './manager/session-manager.js';
export type { SessionStats } from './manager/stats.js';
export type { CleanupReport } from './session/cleanup.js';
export type { SessionEvent } from './session/session-registry.js';
export {
  type CompletionCallback,
  type ErrorCallback,
  type OpenCallback,
  type SendResult,
  type SessionSummary,
  SseSession,
  type TimeoutCallback,
} from './session/sse-session.js';
export type { CloseReason } from './options/close-reasons.js';
export type { SessionState } from './session/state.js';
export type { SseSource } from './source/sse-source.js';
