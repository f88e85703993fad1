import { Body, Controller, Post, UseGuards } from '@nestjs/common';
import { CurrentSession, LastEventId, ManagedSse, SseSession } from 'nestjs-sse-session';
import { TextPipe } from '../common/text.pipe.js';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { NotificationFeed } from './notification-feed.js';

@Controller('api/notifications')
@UseGuards(VisitorGuard)
export class NotificationsController {
  constructor(private readonly feed: NotificationFeed) {}

  /** No source: the session stays open for what is sent to it. A feed has no natural end, so no longest life either. */
  @ManagedSse<NotificationsController>('', { timeoutMs: false })
  stream(@CurrentSession() session: SseSession, @LastEventId() lastEventId: string | undefined): void {
    for (const notification of this.feed.since(lastEventId)) session.send(notification);
  }

  @Post()
  notify(@Body('text', new TextPipe(200)) text: string) {
    return { sessions: this.feed.notify(text) };
  }
}
