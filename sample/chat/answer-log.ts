import { Injectable } from '@nestjs/common';
import type { CloseReason } from 'nestjs-sse-session';

export interface AnswerTotals {
  answers: number;
  complete: number;
  events: number;
}

/** Stands for the accounts of an application: every answer is in it exactly once, however it ended. */
@Injectable()
export class AnswerLog {
  private readonly counted: AnswerTotals = { answers: 0, complete: 0, events: 0 };

  add({ reason, events }: { reason: CloseReason; events: number }): void {
    this.counted.answers += 1;
    this.counted.complete += reason === 'complete' ? 1 : 0;
    this.counted.events += events;
  }

  totals(): AnswerTotals {
    return { ...this.counted };
  }
}
