import type { AbstractHttpAdapter } from '@nestjs/core';
import { Alarm, type AlarmOwner, type TimerWheel } from '../clock/timer-wheel.js';
import { isGone } from '../connection/http-response.js';
import type { SessionLogger } from '../session/safe-logger.js';
import type { HttpExchange } from './http-exchange.js';

/** How long an exception filter may take to answer a request that failed, before nobody is thought to. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * Requests that failed before they opened, until somebody has answered them. Nest's exception filters do, unless an outer interceptor has
 * swallowed the failure: its value goes nowhere, as the response is not Nest's to send, and the client would wait for ever, and a shutdown with it.
 */
export class Unanswered {
  readonly #waiting = new Set<WaitingRequest>();

  constructor(
    private readonly wheel: TimerWheel,
    private readonly logger: SessionLogger,
  ) {}

  /** Begins to wait for the answer to a request, unless it has one. */
  watch(exchange: HttpExchange, adapter: AbstractHttpAdapter): void {
    if (exchange.isAnswered() || isGone(exchange)) return;
    const request: WaitingRequest = new WaitingRequest(exchange, adapter, this.logger, () => {
      this.wheel.cancel(request.alarm);
      this.#waiting.delete(request);
    });
    this.#waiting.add(request);
    this.wheel.set(request.alarm, this.wheel.clock.now() + ANSWER_WITHIN_MS);
  }

  /** Waits for no answer beyond `deadline`: the application stops. */
  stop(deadline: number): void {
    for (const { alarm } of this.#waiting) this.wheel.setNoLaterThan(alarm, deadline);
  }
}

class WaitingRequest implements AlarmOwner {
  readonly alarm = new Alarm(this);

  constructor(
    private readonly exchange: HttpExchange,
    private readonly adapter: AbstractHttpAdapter,
    private readonly logger: SessionLogger,
    private readonly onOver: () => void,
  ) {
    exchange.response.once('close', onOver);
  }

  onAlarm(): number {
    this.exchange.response.off('close', this.onOver);
    this.onOver();
    if (!this.exchange.isAnswered()) this.#answer();
    return Infinity;
  }

  #answer(): void {
    const { request, reply, pattern } = this.exchange;
    this.logger.error(
      `Nobody answered ${request.method} ${pattern}, which failed before it opened, so it gets a 500. An interceptor outside of @ManagedSse() ` +
        'has swallowed the failure; let it throw, or let an exception filter answer.',
    );
    try {
      // kept alive, the connection would keep a server that stops from closing
      if (request.httpVersionMajor < 2) this.adapter.setHeader(reply, 'Connection', 'close');
      void this.adapter.reply(reply, { statusCode: 500, message: 'Internal server error' }, 500);
    } catch {
      this.exchange.request.socket.destroy();
    }
  }
}
