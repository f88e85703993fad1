import type { AbstractHttpAdapter } from '@nestjs/core';
import { Alarm, type TimerWheel } from '../clock/timer-wheel.js';
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
  /** By the framework's response. */
  readonly #waiting = new Map<object, WaitingRequest>();
  #deadline = Infinity;

  constructor(
    private readonly wheel: TimerWheel,
    private readonly logger: SessionLogger,
  ) {}

  /** Begins to wait for the answer to a request, unless it has one. */
  watch(exchange: HttpExchange, adapter: AbstractHttpAdapter): void {
    const { reply } = exchange;
    if (this.#waiting.has(reply) || exchange.isAnswered() || isGone(exchange.response)) return;
    const request = new WaitingRequest(exchange, adapter, this.logger, () => this.forget(exchange));
    this.#waiting.set(reply, request);
    this.wheel.set(request, Math.min(this.wheel.clock.now() + ANSWER_WITHIN_MS, this.#deadline));
  }

  /** Waits no longer: an interceptor has the handler run once more, or the request is over. */
  forget({ reply }: HttpExchange): void {
    const request = this.#waiting.get(reply);
    if (!request) return;
    this.#waiting.delete(reply);
    this.wheel.cancel(request);
    request.release();
  }

  /** Waits for no answer beyond `deadline`: the application stops. */
  stop(deadline: number): void {
    this.#deadline = deadline;
    for (const request of this.#waiting.values()) this.wheel.setNoLaterThan(request, deadline);
  }
}

class WaitingRequest extends Alarm {
  constructor(
    private readonly exchange: HttpExchange,
    private readonly adapter: AbstractHttpAdapter,
    private readonly logger: SessionLogger,
    private readonly onOver: () => void,
  ) {
    super();
    exchange.response.once('close', onOver);
  }

  release(): void {
    this.exchange.response.off('close', this.onOver);
  }

  onAlarm(): number {
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
