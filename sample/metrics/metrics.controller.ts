import { Controller, UseGuards } from '@nestjs/common';
import { ManagedSse } from 'nestjs-sse-session';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { Machine } from './machine.js';

@Controller('api/metrics')
@UseGuards(VisitorGuard)
export class MetricsController {
  constructor(private readonly machine: Machine) {}

  /** Old figures are worth nothing: one who reads slowly gets the latest. */
  @ManagedSse<MetricsController>('', { buffer: { overflow: 'latest' } })
  stream() {
    return this.machine.figures$;
  }
}
