import { Injectable } from '@nestjs/common';
import { type CloseReason, OnSseSession, type SseSession } from 'nestjs-sse-session';

/* The hooks for all sessions: each kind with its own arguments. */

@Injectable()
export class Audit {
  @OnSseSession('open')
  open(session: SseSession) {
    return session.id;
  }

  @OnSseSession('completion')
  async completion(session: SseSession, reason: CloseReason): Promise<void> {
    await Promise.resolve([session, reason]);
  }

  @OnSseSession('error')
  error(_session: SseSession, error: unknown) {
    return String(error);
  }

  @OnSseSession('timeout')
  timeout(): void {}

  /** One that takes less than it gets, or takes it as something wider. */
  @OnSseSession('completion')
  wider(session: unknown, reason: string) {
    return [session, reason];
  }

  // @ts-expect-error TS2345 there is no such kind
  @OnSseSession('close')
  unknownKind() {}

  // @ts-expect-error TS2554 the kind is not optional
  @OnSseSession()
  noKind() {}

  // @ts-expect-error TS1241 open has no second argument
  @OnSseSession('open')
  tooMany(session: SseSession, reason: CloseReason) {
    return [session, reason];
  }

  // @ts-expect-error TS1241 the reason is no number
  @OnSseSession('completion')
  wrongType(session: SseSession, reason: number) {
    return [session, reason];
  }

  // @ts-expect-error TS1241 an error may be anything that was thrown
  @OnSseSession('error')
  narrowError(session: SseSession, error: Error) {
    return [session, error];
  }

  // @ts-expect-error TS1240 a property is no method
  @OnSseSession('open')
  property = () => undefined;
}
