import { Injectable } from '@nestjs/common';
import type { CloseReason } from 'nestjs-sse-session';

const REMEMBERED = 10_000;

export interface AnswerTotals {
  answers: number;
  complete: number;
  tokens: number;
}

/**
 * Stands for the accounts of an application, in its database: every answer is in it exactly once, and so is every token, however the answer
 * ended and whoever watched. A session's `eventsSent` would be another thing: what went out on all connections, so that two tabs double it.
 */
@Injectable()
export class AnswerLog {
  private readonly begun = new Set<string>();
  private readonly counted: AnswerTotals = { answers: 0, complete: 0, tokens: 0 };

  /** Whether the answer is a new one. One that has no name always is. */
  begin(visitor: string, key: string | undefined): boolean {
    if (key === undefined) return true;
    const name = JSON.stringify([visitor, key]);
    if (this.begun.has(name)) return false;
    this.begun.add(name);
    const [oldest] = this.begun;
    if (this.begun.size > REMEMBERED && oldest !== undefined) this.begun.delete(oldest);
    return true;
  }

  /** The upstream has given a token, which is paid for. */
  addToken(): void {
    this.counted.tokens += 1;
  }

  add(reason: CloseReason): void {
    this.counted.answers += 1;
    this.counted.complete += reason === 'complete' ? 1 : 0;
  }

  totals(): AnswerTotals {
    return { ...this.counted };
  }
}
