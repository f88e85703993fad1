import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { SessionManager, sseEvent, type SseEvent } from 'nestjs-sse-session';

const REMEMBERED = 20;

/** Who is there gets a notification at once; who comes later, or comes back, gets the last ones that he has not seen. */
@Injectable()
export class NotificationFeed {
  private recent: SseEvent[] = [];

  constructor(private readonly sessions: SessionManager) {}

  /** Returns how many sessions took it. */
  notify(text: string): number {
    const event = sseEvent({ type: 'notification', id: randomUUID(), data: { text, at: Date.now() } });
    this.recent = [...this.recent, event].slice(-REMEMBERED);
    return this.sessions.broadcast(event, { route: 'GET /api/notifications' });
  }

  /** An unknown id, as one from before a restart, has seen none of them. */
  since(lastEventId: string | undefined): SseEvent[] {
    return this.recent.slice(this.recent.findIndex(({ id }) => id === lastEventId) + 1);
  }
}
