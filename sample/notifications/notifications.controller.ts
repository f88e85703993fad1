import { Body, Controller, ParseEnumPipe, Post, Query, UseGuards } from '@nestjs/common';
import { LastEventId, ManagedSse, SessionManager } from 'nestjs-sse-session';
import { TextPipe } from '../common/text.pipe.js';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { TOPICS, type Topic } from './topics.js';
import { TopicsPipe } from './topics.pipe.js';

const REPLAYED = 20;

@Controller('api/notifications')
@UseGuards(VisitorGuard)
export class NotificationsController {
  constructor(private readonly sessions: SessionManager) {}

  /**
   * Who comes back gets what was published meanwhile, on whichever of the topics; who comes for the first time gets the last few. A feed has
   * no natural end, so no longest life either.
   */
  @ManagedSse<NotificationsController>('', { timeoutMs: false })
  stream(@Query('topics', TopicsPipe) topics: readonly Topic[], @LastEventId() after: string | undefined) {
    return this.sessions.stream(topics, { after, replay: REPLAYED });
  }

  @Post()
  async notify(@Body('topic', new ParseEnumPipe(TOPICS)) topic: Topic, @Body('text', new TextPipe(200)) text: string) {
    const notification = { topic, text, at: Date.now() };
    return { id: await this.sessions.channel(topic).publish({ type: 'notification', data: notification }) };
  }
}
