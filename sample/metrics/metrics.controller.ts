import { Controller, Req, UseGuards } from '@nestjs/common';
import type { Request } from 'express';
import { CurrentSession, ManagedSse, SseSession } from 'nestjs-sse-session';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { Machine } from './machine.js';

@Controller('api/metrics')
@UseGuards(VisitorGuard)
export class MetricsController {
  constructor(private readonly machine: Machine) {}

  /** Old figures are worth nothing: one who reads slowly gets the latest. */
  @ManagedSse<MetricsController>('', { buffer: { overflow: 'latest' } })
  stream(@CurrentSession() session: SseSession, @Req() request: Request) {
    session.data.socket = request.socket;
    return this.machine.figures$;
  }
}
