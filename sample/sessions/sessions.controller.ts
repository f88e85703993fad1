import { Controller, UseGuards } from '@nestjs/common';
import { ManagedSse } from 'nestjs-sse-session';
import { Visitor } from '../visitor/visitor.decorator.js';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { SessionBoard } from './session-board.js';

@Controller('api/sessions')
@UseGuards(VisitorGuard)
export class SessionsController {
  constructor(private readonly board: SessionBoard) {}

  @ManagedSse<SessionsController>('', { buffer: { overflow: 'latest' } })
  stream(@Visitor() visitor: string) {
    return this.board.watch(visitor);
  }
}
