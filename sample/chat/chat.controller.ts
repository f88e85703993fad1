import { Controller, Delete, GoneException, Logger, Param, Query, UseGuards, UseInterceptors } from '@nestjs/common';
import { CurrentSession, ManagedSse, SessionManager, SseSession } from 'nestjs-sse-session';
import OpenAI from 'openai';
import { TextPipe } from '../common/text.pipe.js';
import type { Fault } from '../upstream/models.js';
import { Upstream } from '../upstream/upstream.js';
import { Visitor } from '../visitor/visitor.decorator.js';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { AnswerLog } from './answer-log.js';
import { answerOf } from './answer-key.js';
import { FaultPipe } from './fault.pipe.js';
import { TokensInterceptor } from './tokens.interceptor.js';

@Controller('api/chat')
@UseGuards(VisitorGuard)
export class ChatController {
  private readonly logger = new Logger(ChatController.name);

  constructor(
    private readonly sessions: SessionManager,
    private readonly openai: OpenAI,
    private readonly upstream: Upstream,
    private readonly answers: AnswerLog,
  ) {}

  @ManagedSse<ChatController>('stream', {
    key: answerOf,
    // A page that is reloaded, a second tab, a connection that was cut: they come to the answer that there is. It waits for them, but
    // not for ever: the upstream is paid for meanwhile.
    resume: { graceMs: 30_000 },
    timeoutMs: 5 * 60_000,
    idleTimeoutMs: 60_000,
    // What the upstream refuses keeps its status: there are no headers of ours before its first token.
    openOn: 'first-event',
    // So that the page can tell the end of an answer from a cut.
    endEvent: { type: 'end' },
    // Every answer is paid for: a visitor who asks for too many at once gets 429, and does not come back by itself. Tabs that share one are not counted.
    limits: { maxPerPrincipal: 4 },
    refusal: 'status',
    // Who is being answered while the application stops still gets some seconds to read the end.
    shutdown: { finishMs: 5_000 },
    onTimeout(session) {
      this.logger.warn(`Answer ${session.key} took too long`);
    },
    onError(session, error) {
      this.logger.warn(`Answer ${session.key} failed: ${error instanceof Error ? error.message : String(error)}`);
    },
  })
  @UseInterceptors(TokensInterceptor)
  stream(
    @Query('prompt', new TextPipe(2_000)) prompt: string,
    @Query('fault', FaultPipe) fault: Fault,
    @Visitor() visitor: string,
    @CurrentSession() session: SseSession,
  ) {
    // The handler runs when there is nothing to come back to. A page that is reloaded too late must not ask, and pay, again.
    if (!this.answers.begin(visitor, session.key)) throw new GoneException('This answer has ended; ask again');
    session.onCompletion((_session, reason) => this.answers.add(reason));
    return this.openai.chat.completions.create(
      { model: this.upstream.modelFor(fault), messages: [{ role: 'user', content: prompt }], stream: true },
      { signal: session.signal },
    );
  }

  /** With the visitor as the filter's principal one can only stop one's own answers. */
  @Delete(':answer')
  async stop(@Param('answer') answer: string, @Visitor() visitor: string) {
    return { stopped: await this.sessions.cancelAll({ principal: visitor, key: answer }) };
  }
}
