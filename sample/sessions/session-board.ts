import { Injectable } from '@nestjs/common';
import { OnSseSession, SessionManager, type SseSession } from 'nestjs-sse-session';
import { interval, map, merge, of, throttleTime, type Observable } from 'rxjs';
import { AnswerLog, type AnswerTotals } from '../chat/answer-log.js';
import { Upstream, type UpstreamStatus } from '../upstream/upstream.js';
import { recordOf, seenBy, type SessionRecord, type SessionRow } from './session-row.js';

const REMEMBERED = 40;
/** Counters move without any event of the manager's. */
const REFRESH_MS = 1_000;
const AT_MOST_EVERY_MS = 100;

export interface Board {
  live: SessionRow[];
  ended: SessionRow[];
  upstream: UpstreamStatus;
  answers: AnswerTotals;
}

/** What is going on: the sessions that live, and the last ones that have ended. */
@Injectable()
export class SessionBoard {
  private ended: SessionRecord[] = [];

  constructor(
    private readonly sessions: SessionManager,
    private readonly upstream: Upstream,
    private readonly answers: AnswerLog,
  ) {}

  /** Called for every session of the application, whichever controller it is of. */
  @OnSseSession('completion')
  remember(session: SseSession): void {
    this.ended = [recordOf(session, Date.now()), ...this.ended].slice(0, REMEMBERED);
  }

  /** A snapshot at once, then one whenever a session changes. Each is whole, so that one who missed some has missed nothing. */
  watch(visitor: string): Observable<{ type: string; data: Board }> {
    return merge(of(null), this.sessions.events$, interval(REFRESH_MS)).pipe(
      throttleTime(AT_MOST_EVERY_MS, undefined, { leading: true, trailing: true }),
      map(() => ({ type: 'board', data: this.boardFor(visitor) })),
    );
  }

  private boardFor(visitor: string): Board {
    return {
      live: Array.from(this.sessions, (session) => seenBy(visitor, recordOf(session))),
      ended: this.ended.map((record) => seenBy(visitor, record)),
      upstream: this.upstream.status(),
      answers: this.answers.totals(),
    };
  }
}
