import { expect } from '@jest/globals';
import { Controller, type INestApplication, Injectable, Req } from '@nestjs/common';
import {
  type CloseReason,
  CurrentSession,
  ManagedSse,
  type ManagedSseOptions,
  OnSseSession,
  SessionManager,
  type SessionStats,
  SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
  type SseSource,
} from 'nestjs-sse-session';
import { CLOCK, type Clock, RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import type { AppDescription, Harness, RunningApp } from './apps.js';
import { eventually } from './eventually.js';
import { type RawClient, connect } from './raw-client.js';

/** What a handler of a test sees of its request. */
export interface LifeRequest {
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
}

export type LifeHandler = (session: SseSession, request: LifeRequest) => SseSource | Promise<SseSource>;

/** What was true of a session when a provider's `completion` hook ran. */
export interface End {
  readonly session: SseSession;
  readonly reason: CloseReason;
  readonly error: unknown;
  readonly state: string;
  readonly isManaged: boolean;
  readonly isAborted: boolean;
  readonly connections: number;
}

export interface LifeOptions {
  readonly module?: SseSessionModuleOptions;
  readonly route?: ManagedSseOptions;
  /** Default: the real one. */
  readonly clock?: Clock;
  readonly app?: AppDescription;
}

/** An application with one managed route, `/life`, and everything that is to be seen of its sessions. */
export interface Life extends RunningApp {
  readonly manager: SessionManager;
  /** `session open`, `route completion complete`, `provider error`, `events$ timeout`: in the order in which it happened. */
  readonly log: string[];
  readonly ends: readonly End[];
  /** What was logged as an error or a warning. */
  readonly logged: readonly string[];
  /** Every session whose handler has begun. */
  readonly sessions: readonly SseSession[];
  /** Lets go of all sessions that it has seen. */
  forget(): void;
  /** Connects and sends `GET /life`, or what is given. */
  get(path?: string, headers?: Record<string, string>): Promise<RawClient>;
}

export const EVENT_STREAM = { Accept: 'text/event-stream' };

/** Starts an application whose one route runs `handler`, without jitter. */
export async function startLife(startApp: Harness['startApp'], handler: LifeHandler, options: LifeOptions = {}): Promise<Life> {
  const log: string[] = [];
  const ends: End[] = [];
  const logged: string[] = [];
  const sessions: SseSession[] = [];
  let manager: SessionManager;

  @Controller()
  class LifeController {
    readonly name = 'route';

    @ManagedSse<LifeController>('life', {
      ...options.route,
      onOpen(): unknown {
        return log.push(`${this.name} open`);
      },
      onTimeout(): unknown {
        return log.push(`${this.name} timeout`);
      },
      onError(_session, error): unknown {
        return log.push(`${this.name} error ${nameOf(error)}`);
      },
      onCompletion(_session, reason): unknown {
        return log.push(`${this.name} completion ${reason}`);
      },
    })
    run(@CurrentSession() session: SseSession, @Req() request: LifeRequest): SseSource | Promise<SseSource> {
      sessions.push(session);
      session.onOpen(() => log.push('session open'));
      session.onTimeout(() => log.push('session timeout'));
      session.onError((_session, error) => log.push(`session error ${nameOf(error)}`));
      session.onCompletion((_session, reason) => log.push(`session completion ${reason}`));
      return handler(session, request);
    }
  }

  @Injectable()
  class Observer {
    @OnSseSession('open')
    onOpen(): void {
      log.push('provider open');
    }

    @OnSseSession('timeout')
    onTimeout(): void {
      log.push('provider timeout');
    }

    @OnSseSession('error')
    onError(_session: SseSession, error: unknown): void {
      log.push(`provider error ${nameOf(error)}`);
    }

    @OnSseSession('completion')
    onCompletion(session: SseSession, reason: CloseReason): void {
      log.push(`provider completion ${reason}`);
      const { error, state, connections, signal } = session;
      ends.push({ session, reason, error, state, connections, isManaged: manager.has(session.id), isAborted: signal.aborted });
    }
  }

  const { app = {}, clock } = options;
  const running = await startApp({
    ...app,
    imports: [SseSessionModule.forRoot(options.module), ...(app.imports ?? [])],
    controllers: [LifeController, ...(app.controllers ?? [])],
    providers: [Observer, ...(app.providers ?? [])],
    overrides: (builder) => {
      const jitterless = builder.overrideProvider(RANDOM).useValue(fakeRandom(0));
      const timed = clock ? jitterless.overrideProvider(CLOCK).useValue(clock) : jitterless;
      return app.overrides?.(timed) ?? timed;
    },
    configure: async (application: INestApplication) => {
      manager = application.get(SessionManager);
      manager.events$.subscribe(({ type, reason, error }) => {
        log.push(['events$', type, ...(reason ? [reason] : []), ...(error === undefined ? [] : [nameOf(error)])].join(' '));
      });
      const note = (message: unknown) => void logged.push(String(message));
      application.useLogger({ log: () => undefined, warn: note, error: note });
      await app.configure?.(application);
    },
  });
  return {
    ...running,
    manager: running.app.get(SessionManager),
    log,
    ends,
    logged,
    sessions,
    forget: () => {
      ends.length = 0;
      sessions.length = 0;
    },
    get: async (path = '/life', headers = {}) => (await connect(running.port)).request('GET', path, headers),
  };
}

type Level = 'session' | 'route' | 'provider';

export interface ExpectedEnd {
  /** Whether `onOpen` ran. Default `true`. */
  readonly opened?: boolean;
  /** The name (or code) of the error of an `error` or `slow-client`. */
  readonly error?: string;
  /** The levels whose hooks run: the session's own callbacks are there only when its handler ran. Default: all. */
  readonly levels?: readonly Level[];
}

const ENDS_WITH: Readonly<Partial<Record<CloseReason, readonly string[]>>> = {
  timeout: ['timeout'],
  'idle-timeout': ['timeout'],
  error: ['error'],
  'slow-client': ['error'],
};

/**
 * Waits until the only session of an application has ended, then demands that it did so once, for `reason`: the hooks of all levels in
 * their order, the events, the manager and the counters.
 */
export async function expectEnd(life: Life, reason: CloseReason, expected: ExpectedEnd = {}): Promise<End> {
  await eventually(() => expect(life.ends).toHaveLength(1));
  await turns();
  expect(life.log).toEqual(expectedLog(reason, expected));
  expect(life.ends).toHaveLength(1);
  const [end] = life.ends as [End];
  expect(end).toMatchObject({ reason, state: 'closed', isManaged: false, isAborted: true, connections: 0 });
  expect(end.session).toMatchObject({ closeReason: reason, state: 'closed', pendingBytes: 0 });
  expect(life.manager.size).toBe(0);
  const stats = life.manager.stats();
  expect(stats).toMatchObject({ opened: expected.opened === false ? 0 : 1, connections: 0, bytes: { pending: 0 } });
  expect(stats.sessions).toEqual({ connecting: 0, open: 0, detached: 0, closing: 0 });
  expect(endedBy(stats)).toEqual({ [reason]: 1 });
  return end;
}

function expectedLog(reason: CloseReason, { opened = true, error = '', levels = ['session', 'route', 'provider'] }: ExpectedEnd): string[] {
  const ofKind = (kind: string) => levels.map((level) => `${level} ${kind}`);
  const kinds = [...(ENDS_WITH[reason] ?? []).map((kind) => (kind === 'error' ? `error ${error}` : kind)), `completion ${reason}`];
  return [
    ...(opened ? ['events$ open', ...ofKind('open')] : []),
    ...kinds.flatMap((kind) => ofKind(kind)),
    ...kinds.map((kind) => `events$ ${kind}`),
  ];
}

/** The reasons that occurred, with how often. */
export function endedBy(stats: SessionStats): Partial<Record<CloseReason, number>> {
  return Object.fromEntries(Object.entries(stats.endedByReason).filter(([, count]) => count > 0));
}

/** Lets everything happen that is due: a few turns of the event loop. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A source for a client that does not read: as much as anybody takes, in events of `size` bytes of text. */
export async function* endless(size = 32 * 1024): AsyncGenerator<string> {
  const text = 'x'.repeat(size);
  for (;;) yield text;
}

/** Waits until the client's buffers, and the kernel's, and Node's, are full: nothing has moved for a while although something waits. */
export async function untilBlocked(session: SseSession): Promise<void> {
  let before = '';
  await eventually(async () => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    const now = `${session.pendingBytes} ${session.bytesSent}`;
    const isStill = now === before && session.pendingBytes > 0;
    before = now;
    return isStill;
  });
}

function nameOf(error: unknown): string {
  return (error as { code?: string }).code ?? (error as Error).name;
}
