import type { ExecutionContext } from '@nestjs/common';
import { RequestMethod } from '@nestjs/common';
import { of } from 'rxjs';
import {
  type CloseReason,
  ManagedSse,
  type ManagedSseOptions,
  type SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
  type SseSessionOptionsFactory,
} from 'nestjs-sse-session';

/* The hooks of a route, with the controller as `this`, and the options of routes and modules. */

export class ChatController {
  private readonly usage: string[] = [];
  protected name = 'chat';

  @ManagedSse<ChatController>(':id', {
    timeoutMs: 5 * 60_000,
    onOpen(session) {
      this.usage.push(session.id, this.name);
    },
    onTimeout(session) {
      this.usage.push(session.route);
    },
    onError(session, error) {
      const unknown: unknown = error;
      this.usage.push(session.id, String(unknown));
    },
    async onCompletion(session, reason) {
      const known: CloseReason = reason;
      this.usage.push(session.id, known);
      await this.flush();
    },
  })
  stream() {
    return of(1);
  }

  /** A hook that needs neither arguments nor this. */
  @ManagedSse('plain', { onCompletion() {} })
  plain() {
    return of(1);
  }

  private async flush(): Promise<void> {}

  @ManagedSse<ChatController>('unknown-member', {
    onOpen() {
      // @ts-expect-error TS2339 the controller has no such member
      void this.logger;
    },
  })
  unknownMember() {
    return of(1);
  }

  @ManagedSse('no-controller', {
    onOpen() {
      // @ts-expect-error TS2339 without the type parameter its name says what is missing
      void this.usage;
    },
  })
  noController() {
    return of(1);
  }

  @ManagedSse<ChatController>('arrow', {
    onOpen: () => {
      // @ts-expect-error TS2532 an arrow function has no this of its own
      void this.usage;
    },
  })
  arrow() {
    return of(1);
  }

  @ManagedSse<ChatController>('argument', {
    // @ts-expect-error TS2322 a completion hook gets no third argument
    onCompletion(session: SseSession, reason: CloseReason, extra: number) {
      this.usage.push(session.id, reason, String(extra));
    },
  })
  argument() {
    return of(1);
  }

  @ManagedSse<ChatController>('reason', {
    onCompletion(_session, reason) {
      // @ts-expect-error TS2367 there is no such reason
      if (reason === 'finished') return;
    },
  })
  reason() {
    return of(1);
  }

  @ManagedSse<ChatController>('readonly', {
    onOpen(session) {
      // @ts-expect-error TS2540 what a session tells of itself is not the application's to change
      session.state = 'closed';
    },
  })
  readonly() {
    return of(1);
  }
}

// --- the options of a route ---------------------------------------------------------------------------------------------------------

export const everything: ManagedSseOptions = {
  method: RequestMethod.POST,
  heartbeat: { intervalMs: 1_000, comment: 'beat' },
  timeoutMs: false,
  idleTimeoutMs: 60_000,
  retryMs: false,
  openOn: 'first-event',
  emit: 'payload',
  serializer: (data: unknown) => JSON.stringify(data),
  errorEvent: (error, session) => (session.state === 'closed' ? null : { type: 'error', data: String(error) }),
  endEvent: { type: 'end' },
  buffer: { maxBytes: 1_000, overflow: 'latest', stallTimeoutMs: 5_000 },
  limits: { maxConnections: 1, maxPerPrincipal: false, maxPerSocket: 6, perPrincipalPolicy: 'reject' },
  refusal: 'status',
  principal: (context: ExecutionContext) => context.switchToHttp().getRequest<{ user?: { id: string } }>().user?.id,
  key: () => undefined,
  shutdown: { finishMs: 8_000 },
};
export const nothing: ManagedSseOptions = {};

// @ts-expect-error TS2561 the name of the option has its unit
export const unknownOption: ManagedSseOptions = { timeout: 5_000 };
// @ts-expect-error TS2353 in a group too
export const unknownInGroup: ManagedSseOptions = { buffer: { max: 5 } };
// @ts-expect-error TS2322 milliseconds are a number
export const textDuration: ManagedSseOptions = { timeoutMs: '5m' };
// @ts-expect-error TS2322 only false switches off
export const trueDuration: ManagedSseOptions = { timeoutMs: true };
/** Undefined is not set. */
export const undefinedOption: ManagedSseOptions = { timeoutMs: undefined };
// @ts-expect-error TS2322 there is no such policy
export const unknownPolicy: ManagedSseOptions = { buffer: { overflow: 'drop' } };
// @ts-expect-error TS2559 the buffer can't be switched off
export const noBuffer: ManagedSseOptions = { buffer: false };
// @ts-expect-error TS2322 there is no such moment
export const unknownOpenOn: ManagedSseOptions = { openOn: 'first-byte' };
// @ts-expect-error TS2322 an end event has a type
export const endWithoutType: ManagedSseOptions = { endEvent: true };
// @ts-expect-error TS2322 and that has no default
export const endWithEmpty: ManagedSseOptions = { endEvent: {} };
// @ts-expect-error TS2322 a serializer gives text
export const serializer: ManagedSseOptions = { serializer: (data: unknown) => ({ data }) };
// @ts-expect-error TS2322 a principal is known at once, not promised
export const promisedPrincipal: ManagedSseOptions = { principal: async () => 'ann' };
// @ts-expect-error TS2322 a method of a route is an enum of Nest's
export const textMethod: ManagedSseOptions = { method: 'POST' };
// @ts-expect-error TS2353 the cleanup is the module's
export const cleanupOfRoute: ManagedSseOptions = { cleanup: { intervalMs: 1_000 } };
// @ts-expect-error TS2353 so is the length of a shutdown
export const shutdownOfRoute: ManagedSseOptions = { shutdown: { timeoutMs: 1_000 } };

// --- the options of the module ------------------------------------------------------------------------------------------------------

export const modules = [
  SseSessionModule.forRoot(),
  SseSessionModule.forRoot({
    isGlobal: false,
    cleanup: { intervalMs: 1_000 },
    shutdown: { timeoutMs: 5_000, finishMs: 1, retryJitterMs: 0 },
  }),
  SseSessionModule.forRootAsync({ inject: ['config'], useFactory: async (timeoutMs: number) => ({ timeoutMs }) }),
  SseSessionModule.forRootAsync({
    useClass: class implements SseSessionOptionsFactory {
      createSseSessionOptions(): SseSessionModuleOptions {
        return { retryMs: false };
      }
    },
  }),
];

// @ts-expect-error TS2353 a hook is a route's, or a provider's by @OnSseSession()
SseSessionModule.forRoot({ onOpen: () => undefined });
// @ts-expect-error TS2322 a factory gives options
SseSessionModule.forRootAsync({ useFactory: () => 'options' });
// @ts-expect-error TS2322 a class that makes options has a method for it
SseSessionModule.forRootAsync({ useClass: class {} });
