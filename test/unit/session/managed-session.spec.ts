import { inspect } from 'node:util';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it, jest } from '@jest/globals';
import { HttpException } from '@nestjs/common';
import { NEVER, Observable, Subject, concat, of, throwError } from 'rxjs';
import type { SseSessionError } from '../../../lib/errors.js';
import { sseEvent } from '../../../lib/event/sse-event.js';
import type { ManagedSession } from '../../../lib/session/managed-session.js';
import type { SseSession } from '../../../lib/session/sse-session.js';
import type { CloseReason } from '../../../lib/options/close-reasons.js';
import { fakeRandom } from '../../../lib/testing/fake-clock.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { MemoryApp, handle, turns } from '../../support/memory-session.js';

/** No opening lines, so that what is received is what was sent. */
const PLAIN = { retryMs: false, heartbeat: false } as const;

describe('a session that is connecting', () => {
  it('is known to the registry, and nothing is written', () => {
    const app = new MemoryApp();
    const { session, response } = app.connect({ principal: 'ann', key: 'k', route: 'GET /a' });
    expect(app.registry.get(session.id)).toBe(session);
    expect(session).toMatchObject({
      state: 'connecting',
      principal: 'ann',
      key: 'k',
      route: 'GET /a',
      remoteAddress: '127.0.0.1',
      openedAt: undefined,
      closeReason: undefined,
      error: undefined,
      connections: 1,
      eventsSent: 0,
      bytesSent: 0,
      data: {},
    });
    expect(session.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    session.send('early');
    expect(response).toMatchObject({ isOpen: false, writes: 0 });
    expect(session.pendingBytes).toBe('data: early\n\n'.length);
  });

  it('opens one macrotask after the handler has resolved, with what was sent before', async () => {
    const app = new MemoryApp();
    const { session, response, log } = app.connect({ options: PLAIN });
    session.send('early');
    session.handlerResolved();
    expect(session.state).toBe('connecting');
    await turns(1);
    expect(session.state).toBe('open');
    expect(response.received).toBe('data: early\n\n');
    expect(log).toEqual(['settled', 'open']);
  });

  it('opens with its first event when openOn says so: neither with the handler nor with a comment', async () => {
    const app = new MemoryApp();
    const { session, log } = app.connect({ options: { ...PLAIN, openOn: 'first-event' } });
    session.handlerResolved();
    session.comment('not yet');
    await turns();
    expect(session.state).toBe('connecting');
    session.send('now');
    expect(session.state).toBe('open');
    expect(log).toEqual(['settled', 'open']);
  });

  it('opens at its end when openOn is first-event and there was no event', async () => {
    const app = new MemoryApp();
    const { session, response, log } = app.connect({ options: { ...PLAIN, openOn: 'first-event' } });
    session.complete();
    await turns();
    expect(response).toMatchObject({ isOpen: true, isEnded: true });
    expect(log).toEqual(['settled', 'open', 'completion complete']);
  });

  it.each<[CloseReason, (app: MemoryApp, session: ManagedSession, response: MemoryResponse) => void, string[]]>([
    ['error', (_, session) => session.fail(new Error('early')), ['error early', 'completion error']],
    ['client-disconnect', (_, __, response) => response.disconnect(), ['completion client-disconnect']],
    ['timeout', (app) => app.clock.advance(1_800_050), ['timeout', 'completion timeout']],
    ['shutdown', (_, session) => session.end('shutdown'), ['completion shutdown']],
    [
      'slow-client',
      (_, session) => {
        session.send('x');
        session.send('x'.repeat(2_000_000));
      },
      [expect.stringContaining('error More than buffer.maxBytes') as never, 'completion slow-client'],
    ],
  ])('that ends as %s never opens, and leaves the response to others', async (reason, cause, hooks) => {
    const app = new MemoryApp();
    const { session, response, log } = app.connect();
    const { signal } = session;
    cause(app, session, response);
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: reason, openedAt: undefined });
    expect(response).toMatchObject({ isOpen: false, isEnded: false, isDestroyed: false, writes: 0 });
    expect(log).toEqual([...hooks, 'settled']);
    expect(signal.aborted).toBe(true);
    expect(app.registry.wheel.size).toBe(0);
  });

  it.each<[CloseReason, (session: ManagedSession) => void]>([
    ['complete', (session) => session.complete()],
    ['cancelled', (session) => session.close()],
  ])('that ends as %s still gets its short stream', async (reason, end) => {
    const { session, response, log } = new MemoryApp().connect({ options: PLAIN });
    session.send('short');
    end(session);
    await turns();
    expect(response).toMatchObject({ isOpen: true, isEnded: true, received: 'data: short\n\n' });
    expect(log).toEqual(['settled', 'open', `completion ${reason}`]);
    expect(session.closeReason).toBe(reason);
  });

  it('that was left before it was created is over at once, and its source, when it comes late, is let go of unread', async () => {
    const response = new MemoryResponse();
    response.isGone = true;
    const { session, log } = new MemoryApp().connect({ response });
    expect(log).toEqual(['completion client-disconnect', 'settled']);
    const destroy = jest.fn();
    const iterate = jest.fn();
    handle(session, { destroy, [Symbol.asyncIterator]: iterate } as never);
    await turns();
    expect(destroy).toHaveBeenCalledTimes(1);
    expect(iterate).not.toHaveBeenCalled();
    expect(response.isOpen).toBe(false);
  });

  it('fails with RESPONSE_TAKEN when somebody else has answered', () => {
    const { session, response } = new MemoryApp().connect();
    response.isAnswered = true;
    session.open();
    expect(session).toMatchObject({ closeReason: 'error', error: { code: 'RESPONSE_TAKEN' } });
    expect(response.isOpen).toBe(false);
  });

  it('fails when its headers cannot be sent, so that the framework can answer', () => {
    class NoHeaders extends MemoryResponse {
      override open(): void {
        throw new TypeError('Invalid character in header');
      }
    }
    const { session, log } = new MemoryApp().connect({ response: new NoHeaders() });
    session.open();
    expect(session).toMatchObject({ state: 'closed', closeReason: 'error' });
    expect(log).toEqual(['error Invalid character in header', 'completion error', 'settled']);
  });

  it('fails with REQUEST_ABANDONED when an outer interceptor gives up on it, and not once it is open', () => {
    const app = new MemoryApp();
    const { session } = app.connect();
    session.abandon();
    expect(session).toMatchObject({ closeReason: 'error', error: { code: 'REQUEST_ABANDONED' } });

    const open = app.open().session;
    open.abandon();
    expect(open.state).toBe('open');
  });

  it('is over, and does not rise again, when the response fails at its very first write', async () => {
    class Broken extends MemoryResponse {
      override write(): boolean {
        throw new Error('broken');
      }
    }
    const app = new MemoryApp();
    const { session, log } = app.connect({ response: new Broken() });
    session.open();
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect', openedAt: undefined });
    expect(log).toEqual(['completion client-disconnect', 'settled']);
    expect(app.events).toEqual(['completion client-disconnect']);
    expect(app.registry.wheel.size).toBe(0);
  });
});

describe('send', () => {
  it.each<[string, unknown]>([
    [
      'a getter throws',
      {
        data: 1,
        get id() {
          throw new Error('no id');
        },
      },
    ],
    ['a Proxy was revoked', revokedProxy()],
  ])('refuses as INVALID_EVENT what cannot be read: %s', (_what, event) => {
    const { session } = new MemoryApp().open();
    expect(() => session.send(event as never)).toThrow(expect.objectContaining({ code: 'INVALID_EVENT' }));
    expect(session.state).toBe('open');
  });

  it("says 'closed' of an event whose opening fails the session", () => {
    const response = new MemoryResponse();
    response.open = () => {
      throw new Error('no head');
    };
    const { session } = new MemoryApp().connect({ response, options: { openOn: 'first-event' } });
    expect(session.send('a')).toBe('closed');
    expect(session).toMatchObject({ closeReason: 'error', state: 'closed' });
  });

  it('overflows as ever while its headers go out', () => {
    const response = new MemoryResponse();
    const { session } = new MemoryApp(PLAIN).connect({ response, options: { buffer: { maxBytes: 1_000, overflow: 'drop-oldest' } } });
    const results: string[] = [];
    response.open = () => {
      for (let n = 0; n < 4; n++) results.push(session.send('x'.repeat(400)));
      response.isOpen = true;
    };
    session.open();
    expect([results, session.eventsDropped]).toEqual([['accepted', 'accepted', 'accepted', 'accepted'], 2]);
  });

  it('may be ended by the very write that opens it, and keeps its reason', async () => {
    const response = new MemoryResponse();
    const { session, log } = new MemoryApp(PLAIN).connect({ response });
    const write = response.write.bind(response);
    response.write = (chunk) => {
      session.close();
      return write(chunk);
    };
    session.send('a');
    session.open();
    await turns();
    expect(log).toEqual(['settled', 'open', 'completion cancelled']);
    expect(response.received).toBe('data: a\n\n');
  });

  it('says what became of the event', async () => {
    const { session, response } = new MemoryApp().open({ options: PLAIN });
    expect(session.send('a')).toBe('accepted');
    expect(session.comment('c')).toBe('accepted');
    session.complete();
    expect(session.send('late')).toBe('closed');
    expect(session.comment('late')).toBe('closed');
    await turns();
    expect(session.send('later')).toBe('closed');
    expect(response.received).toBe('data: a\n\n: c\n');
  });

  it.each([
    ['undefined', undefined, 'INVALID_EVENT'],
    ['bytes', new Uint8Array(1), 'INVALID_EVENT'],
    ['an event with a bad id', { data: 1, id: 'a\nb' }, 'INVALID_EVENT'],
    ['what is no JSON', { big: 1n }, 'SERIALIZATION_FAILED'],
  ])('throws at once for %s, and the session lives on', async (_, value, code) => {
    const { session, response } = new MemoryApp().open({ options: PLAIN });
    expect(() => session.send(value)).toThrow(expect.objectContaining({ code }));
    expect(session.state).toBe('open');
    expect(session.send('next')).toBe('accepted');
    await turns(1);
    expect(response.received).toBe('data: next\n\n');
  });

  it('never throws for a session that has ended, whatever it gets', () => {
    const { session } = new MemoryApp().open();
    session.close();
    expect(session.send(undefined)).toBe('closed');
    expect(session.comment(5 as never)).toBe('closed');
  });

  it('refuses a comment that is no string', () => {
    const { session } = new MemoryApp().open();
    expect(() => session.comment(5 as never)).toThrow(expect.objectContaining({ code: 'INVALID_EVENT' }));
  });

  it("reads as the route's emit and serializer say", async () => {
    const { session, response } = new MemoryApp().open({
      options: { ...PLAIN, emit: 'payload', serializer: (data) => `<${JSON.stringify(data)}>` },
    });
    session.send({ data: 1 });
    await turns(1);
    expect(response.received).toBe('data: <{"data":1}>\n\n');
  });

  it('writes once for all that is sent in one turn', async () => {
    const { session, response } = new MemoryApp().open({ options: PLAIN });
    for (let i = 0; i < 10; i++) session.send(String(i));
    await turns(1);
    expect(response.writes).toBe(1);
    expect(session.eventsSent).toBe(10);
  });

  it("ends the session as slow-client when more than maxBytes wait, with overflow 'close'", async () => {
    const response = new MemoryResponse(1);
    const { session, log } = new MemoryApp().open({ response, options: { ...PLAIN, buffer: { maxBytes: 30 } } });
    response.pause();
    // the response takes the first, the second waits for it
    expect(session.send('a'.repeat(20))).toBe('accepted');
    expect(session.send('b'.repeat(20))).toBe('accepted');
    expect(session.send('c'.repeat(20))).toBe('closed');
    expect(session).toMatchObject({
      state: 'closed',
      closeReason: 'slow-client',
      error: { code: 'SLOW_CLIENT' },
      eventsDropped: 1,
      pendingBytes: 0,
    });
    expect(response.isDestroyed).toBe(true);
    expect(log.slice(2)).toEqual([
      expect.stringMatching(/^error The client of session .* does not read: more than buffer\.maxBytes \(30\)/),
      'completion slow-client',
    ]);
  });

  it("says 'dropped' of an event that finds no room, with overflow 'drop-oldest'", async () => {
    const options = { ...PLAIN, buffer: { maxBytes: 70_000, overflow: 'drop-oldest' } } as const;
    const { session, response } = new MemoryApp().open({ options, response: new MemoryResponse(1) });
    response.pause();
    session.send('x'.repeat(130_000));
    await turns(1);
    expect(session.send('y'.repeat(10_000))).toBe('dropped');
    expect(session.eventsDropped).toBe(1);
    expect(session.state).toBe('open');
  });
});

describe('flushed', () => {
  it('resolves when all that was sent has left', async () => {
    const { session, response } = new MemoryApp().open({ options: PLAIN, response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    const flushed = jest.fn();
    void session.flushed().then(flushed);
    await turns();
    expect(flushed).not.toHaveBeenCalled();
    response.resume();
    await turns();
    expect(flushed).toHaveBeenCalled();
  });

  it('rejects with SESSION_CLOSED when the session ends first, and after its end', async () => {
    const { session, response } = new MemoryApp().open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    const flushed = session.flushed();
    response.disconnect();
    await expect(flushed).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    await expect(session.flushed()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  });
});

describe('the opening lines', () => {
  it('are a retry, lengthened by 0 to 50 % of jitter', () => {
    const retryOf = (random: number) => new MemoryApp({ retryMs: 1_000 }, fakeRandom(random)).open().response.received;
    expect(retryOf(0)).toBe('retry: 1000\n');
    expect(retryOf(0.5)).toBe('retry: 1250\n');
    expect(retryOf(0.9999)).toBe('retry: 1500\n');
  });

  it('are none when retryMs is false', () => {
    expect(new MemoryApp({ retryMs: false }).open().response.received).toBe('');
  });
});

describe('the lifetime', () => {
  it('is shortened by 0 to 10 % of jitter, never lengthened', () => {
    const lifetime = (random: number) => {
      const app = new MemoryApp({ timeoutMs: 100_000 }, fakeRandom(random));
      const { session } = app.open();
      return (session.expiresAt as number) - session.lastActivityAt;
    };
    expect(lifetime(0)).toBe(100_000);
    expect(lifetime(0.5)).toBe(95_000);
    expect(lifetime(0.9999)).toBeGreaterThanOrEqual(90_000);
  });

  it('ends the session as timeout, not a millisecond early and at most 50 ms late, however busy it is', async () => {
    const app = new MemoryApp();
    const { session, log } = app.open({ options: { timeoutMs: 10_000 } });
    for (let i = 0; i < 9; i++) {
      app.clock.advance(1_000);
      session.send('busy');
    }
    app.clock.advance(999);
    expect(session.state).toBe('open');
    app.clock.advance(51);
    await turns();
    expect(log.slice(2)).toEqual(['timeout', 'completion timeout']);
  });

  it('is counted from the creation, not from the opening', () => {
    const app = new MemoryApp();
    const { session } = app.connect({ options: { timeoutMs: 10_000 } });
    app.clock.advance(6_000);
    session.open();
    app.clock.advance(4_050);
    expect(session.closeReason).toBe('timeout');
  });

  it('has no end when timeoutMs is false', () => {
    const app = new MemoryApp();
    const { session } = app.open({ options: { timeoutMs: false } });
    app.clock.advance(1_000_000_000);
    expect(session.state).toBe('open');
    expect(session.expiresAt).toBeUndefined();
  });
});

describe('the idle timeout', () => {
  const options = { idleTimeoutMs: 5_000, heartbeat: { intervalMs: 1_000 } };

  it('ends a session that had no event for so long; heartbeats and comments do not count', async () => {
    const app = new MemoryApp();
    const { session, response, log } = app.open({ options });
    app.clock.advance(4_900);
    session.comment('still here');
    app.clock.advance(99);
    expect(session.state).toBe('open');
    app.clock.advance(51);
    await turns();
    expect(response.received).toContain(': heartbeat');
    expect(log.slice(2)).toEqual(['timeout', 'completion idle-timeout']);
  });

  it('is put off by every event', () => {
    const app = new MemoryApp();
    const { session } = app.open({ options });
    for (let i = 0; i < 5; i++) {
      app.clock.advance(4_900);
      session.send('a');
    }
    app.clock.advance(4_999);
    expect(session.state).toBe('open');
    app.clock.advance(51);
    expect(session.closeReason).toBe('idle-timeout');
  });

  it('does not run before the session is open, and then from the opening', () => {
    const app = new MemoryApp();
    const { session } = app.connect({ options });
    app.clock.advance(20_000);
    expect(session.state).toBe('connecting');
    session.open();
    app.clock.advance(4_999);
    expect(session.state).toBe('open');
    app.clock.advance(51);
    expect(session.closeReason).toBe('idle-timeout');
  });
});

describe('lastActivityAt', () => {
  it('is the time of the last event, else of the opening or the creation', () => {
    const app = new MemoryApp();
    const { session } = app.open();
    const start = session.lastActivityAt;
    expect(session.openedAt).toBe(start);
    app.clock.advance(1_000);
    session.comment('x');
    expect(session.lastActivityAt).toBe(start);
    session.send('x');
    expect(session.lastActivityAt).toBe(start + 1_000);
    expect(Math.abs(start - Date.now())).toBeLessThan(5_000);
  });
});

describe('each end of an open session', () => {
  interface Cause {
    cause(app: MemoryApp, session: ManagedSession, response: MemoryResponse, source: Subject<unknown>): void;
    hooks: unknown[];
    /** What is still written after 'a', with an endEvent. */
    last?: string;
  }

  const end = (reason: CloseReason) => `event: end\ndata: {"reason":"${reason}"}\n\n`;
  const causes: Record<Exclude<CloseReason, 'shutdown'>, Cause> = {
    complete: { cause: (_, __, ___, source) => source.complete(), hooks: ['completion complete'], last: end('complete') },
    'client-disconnect': { cause: (_, __, response) => response.disconnect(), hooks: ['completion client-disconnect'] },
    timeout: { cause: (app) => app.clock.advance(60_050), hooks: ['timeout', 'completion timeout'], last: end('timeout') },
    'idle-timeout': { cause: (app) => app.clock.advance(30_050), hooks: ['timeout', 'completion idle-timeout'], last: end('idle-timeout') },
    error: {
      cause: (_, __, ___, source) => source.error(new Error('secret')),
      hooks: ['error secret', 'completion error'],
      last: `event: error\ndata: Internal server error\n\n${end('error')}`,
    },
    'slow-client': {
      cause: (_, session, response) => {
        response.pause();
        // more than the response takes, and then more than may wait
        for (let i = 0; i < 30; i++) session.send('x'.repeat(900));
      },
      hooks: [expect.stringMatching(/^error The client/), 'completion slow-client'],
    },
    'dead-peer': {
      // the probe's tests show when
      cause: (app) => [...app.registry.connections].forEach((connection) => connection.onDeadPeer()),
      hooks: [expect.stringMatching(/^error The client .* has vanished/), 'completion dead-peer'],
    },
    evicted: { cause: (_, session) => session.end('evicted'), hooks: ['completion evicted'], last: end('evicted') },
    unauthorized: { cause: (_, session) => session.end('unauthorized'), hooks: ['completion unauthorized'], last: end('unauthorized') },
    cancelled: { cause: (_, session) => session.close(), hooks: ['completion cancelled'], last: end('cancelled') },
  };

  it.each(Object.entries(causes))(
    '(%s) runs its hooks once and in order, and leaves nothing behind',
    async (reason, { cause, hooks, last }) => {
      const app = new MemoryApp({
        ...PLAIN,
        endEvent: { type: 'end' },
        timeoutMs: reason === 'timeout' ? 60_000 : false,
        idleTimeoutMs: reason === 'idle-timeout' ? 30_000 : false,
        buffer: { maxBytes: 1_000 },
      });
      const unsubscribed = jest.fn();
      const source = new Subject<unknown>();
      const { session, response, log } = app.stream(
        new Observable((subscriber) => {
          const subscription = source.subscribe(subscriber);
          return () => {
            subscription.unsubscribe();
            unsubscribed();
          };
        }),
      );
      await turns();
      source.next('a');
      await turns();
      const { signal } = session;
      let atCompletion: unknown;
      session.onCompletion(() => {
        atCompletion = {
          isRegistered: app.registry.get(session.id) !== undefined,
          aborted: signal.aborted,
          unsubscribed: unsubscribed.mock.calls.length,
          alarms: app.registry.wheel.size,
          state: session.state,
        };
      });

      cause(app, session, response, source);
      await turns();

      expect(log).toEqual(['settled', 'open', ...hooks]);
      expect(session).toMatchObject({ state: 'closed', closeReason: reason, connections: 0, pendingBytes: 0 });
      expect(atCompletion).toEqual({ isRegistered: false, aborted: true, unsubscribed: 1, alarms: 0, state: 'closed' });
      expect(response.received).toBe(`data: a\n\n${last ?? ''}`);
      expect(app.events).toEqual([
        'open',
        ...hooks.map((hook) => (typeof hook === 'string' && !hook.startsWith('error') ? hook : 'error')),
      ]);
      expect(app.registry.totals.endedByReason[reason as CloseReason]).toBe(1);
      expect(source.observed).toBe(false);

      // whatever comes later changes nothing
      source.next('late');
      session.send('late');
      session.close();
      session.fail(new Error('late'));
      response.disconnect();
      app.clock.advance(100_000);
      await turns();
      expect(log).toEqual(['settled', 'open', ...hooks]);
      expect(response.received).toBe(`data: a\n\n${last ?? ''}`);
      expect(session.closeReason).toBe(reason);
    },
  );

  it('keeps the first reason', async () => {
    const { session, log } = new MemoryApp().open();
    session.close();
    session.complete();
    session.fail(new Error('late'));
    await turns();
    expect(log.slice(2)).toEqual(['completion cancelled']);
    expect(session.error).toBeUndefined();
  });

  it('aborts the signal and stops the source when it begins to close, and runs the hooks when all is written', async () => {
    const { session, response, log } = new MemoryApp().open({ options: PLAIN, response: new MemoryResponse(1) });
    const unsubscribed = jest.fn();
    session.consume(new Observable(() => unsubscribed));
    response.pause();
    session.send('a');
    await turns();
    const { signal } = session;
    session.complete();
    expect(session.state).toBe('closing');
    expect(signal.aborted).toBe(true);
    expect(unsubscribed).toHaveBeenCalledTimes(1);
    await turns();
    expect(log).toEqual(['settled', 'open']);
    response.resume();
    await turns();
    expect(log).toEqual(['settled', 'open', 'completion complete']);
  });

  it('turns complete into client-disconnect when the client leaves before it has everything', async () => {
    const { session, response, log } = new MemoryApp().open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    await turns();
    session.complete();
    const error = new Error('ECONNRESET');
    response.disconnect(error);
    expect(log.slice(2)).toEqual(['completion client-disconnect']);
    expect(session.error).toBe(error);
  });

  it('turns complete into slow-client when the client does not take the rest in time', async () => {
    const app = new MemoryApp();
    const { session, response, log } = app.open({ response: new MemoryResponse(1), options: { buffer: { stallTimeoutMs: 2_000 } } });
    response.pause();
    session.send('a');
    await turns();
    session.complete();
    app.clock.advance(1_999);
    expect(session.state).toBe('closing');
    app.clock.advance(51);
    expect(session).toMatchObject({ closeReason: 'slow-client', error: { code: 'SLOW_CLIENT' } });
    expect(log.slice(2)).toEqual([expect.stringMatching(/^error/), 'completion slow-client']);
  });

  it.each(['cancelled', 'shutdown', 'error', 'timeout'] as const)(
    'keeps %s as its reason although the client leaves meanwhile',
    async (reason) => {
      const { session, response } = new MemoryApp().open({ response: new MemoryResponse(1) });
      response.pause();
      session.send('a');
      await turns();
      session.end(reason, new Error('first'));
      response.disconnect(new Error('later'));
      expect(session).toMatchObject({ closeReason: reason, error: new Error('first') });
    },
  );

  it("has the socket's error when the client left with one, and none when it just left", () => {
    const app = new MemoryApp();
    const [reset, left] = [app.open(), app.open()];
    const error = new Error('ECONNRESET');
    reset.response.disconnect(error);
    left.response.disconnect();
    expect(reset.session.error).toBe(error);
    expect(left.session.error).toBeUndefined();
  });

  it('ends as slow-client when nothing moved for stallTimeoutMs', async () => {
    const app = new MemoryApp();
    const { session, response } = app.open({ response: new MemoryResponse(1), options: { buffer: { stallTimeoutMs: 2_000 } } });
    response.pause();
    session.send('a');
    await turns();
    app.clock.advance(1_050);
    await turns(2);
    app.clock.advance(1_000);
    await turns(2);
    expect(session).toMatchObject({ closeReason: 'slow-client', state: 'closed' });
  });

  it('fails with RESPONSE_TAKEN when somebody else ends its response', async () => {
    const { session, response } = new MemoryApp().open();
    response.end();
    await turns();
    expect(session).toMatchObject({ closeReason: 'error', error: { code: 'RESPONSE_TAKEN' } });
  });
});

describe('the errorEvent', () => {
  const failWith = async (error: unknown, options = {}) => {
    const app = new MemoryApp();
    const { session, response } = app.open({ options: { ...PLAIN, ...options } });
    session.fail(error);
    await turns();
    return { session, received: response.received, logged: app.logger.errors };
  };

  it('tells the message of an HttpException, and no other', async () => {
    expect((await failWith(new HttpException('Quota used up', 429))).received).toBe('event: error\ndata: Quota used up\n\n');
    expect((await failWith(new Error('password=1234'))).received).toBe('event: error\ndata: Internal server error\n\n');
    expect((await failWith('a string')).received).toBe('event: error\ndata: Internal server error\n\n');
    expect((await failWith(undefined)).received).toBe('event: error\ndata: Internal server error\n\n');
  });

  it('logs an error that is no HttpException, as somebody has to see it', async () => {
    expect((await failWith(new Error('defect'))).logged).toEqual([expect.stringMatching(/failed: Error: defect/)]);
    expect((await failWith(new HttpException('Quota', 429))).logged).toEqual([]);
  });

  it('is what the option makes of it, read as an event whatever emit says', async () => {
    const errorEvent = jest.fn((error: unknown) => ({ type: 'failure', data: { why: String(error) } }));
    const error = new Error('x');
    const { received, session } = await failWith(error, { errorEvent, emit: 'payload' });
    expect(received).toBe('event: failure\ndata: {"why":"Error: x"}\n\n');
    expect(errorEvent.mock.calls).toEqual([[error, session]]);
  });

  it('is none for null, or when it is switched off', async () => {
    expect((await failWith(new Error('x'), { errorEvent: () => null })).received).toBe('');
    expect((await failWith(new Error('x'), { errorEvent: false })).received).toBe('');
  });

  it('is the general one when the option throws or gives what is no event, and that is logged', async () => {
    for (const errorEvent of [
      () => {
        throw new Error('bug');
      },
      () => ({ data: undefined }),
      () => ({ data: '', id: 'a\nb' }),
    ]) {
      const { received, logged } = await failWith(new HttpException('x', 400), { errorEvent });
      expect(received).toBe('event: error\ndata: Internal server error\n\n');
      expect(logged).toEqual([expect.stringMatching(/errorEvent of session .* failed/)]);
    }
  });

  it('comes before the endEvent, after what waits', async () => {
    const { session, response } = new MemoryApp().open({ options: { ...PLAIN, endEvent: { type: 'end' } } });
    session.send('a');
    session.fail(new Error('x'));
    await turns();
    expect(response.received).toBe('data: a\n\nevent: error\ndata: Internal server error\n\nevent: end\ndata: {"reason":"error"}\n\n');
  });
});

describe('the signal', () => {
  it('is the same each time, and carries an AbortError', () => {
    const { session } = new MemoryApp().open();
    const { signal } = session;
    expect(session.signal).toBe(signal);
    session.complete();
    expect(signal.reason).toBeInstanceOf(DOMException);
    expect((signal.reason as DOMException).name).toBe('AbortError');
    expect((signal.reason as DOMException).message).toMatch(/has ended: complete$/);
  });

  it('that is asked for after the end is aborted already', () => {
    const { session } = new MemoryApp().open();
    session.complete();
    expect(session.signal.aborted).toBe(true);
  });
});

describe('the source', () => {
  it('is read as its values say, and its end ends the session', async () => {
    const { session, response } = new MemoryApp().stream(of('a', { data: { b: 1 }, type: 't' }, sseEvent({ data: 'c', id: 1 })), {
      options: PLAIN,
    });
    await turns();
    expect(response.received).toBe('data: a\n\nevent: t\ndata: {"b":1}\n\ndata: c\nid: 1\n\n');
    expect(session.closeReason).toBe('complete');
    expect(session.eventsSent).toBe(3);
  });

  it('that fails at once does so before the headers', async () => {
    const error = new HttpException('teapot', 418);
    const { session, response, log } = new MemoryApp().stream(throwError(() => error));
    await turns();
    expect(session).toMatchObject({ closeReason: 'error', error });
    expect(response.isOpen).toBe(false);
    expect(log).toEqual(['error teapot', 'completion error', 'settled']);
  });

  it('that emits what cannot be sent fails the session', async () => {
    const app = new MemoryApp();
    const { session, response } = app.stream(concat(of('a', undefined), NEVER), { options: PLAIN });
    await turns();
    expect(session).toMatchObject({ closeReason: 'error', error: { code: 'INVALID_EVENT' } });

    const source = new Subject<unknown>();
    const later = app.stream(source, { options: PLAIN });
    await turns();
    source.next(1n);
    await turns();
    expect(later.session).toMatchObject({ closeReason: 'error', error: { code: 'SERIALIZATION_FAILED' } });
    expect(later.response.received).toBe('event: error\ndata: Internal server error\n\n');
    expect(source.observed).toBe(false);
    expect(response.isOpen).toBe(false);
  });

  it('that is none is refused as INVALID_SOURCE', () => {
    const { session } = new MemoryApp().connect();
    expect(() => session.adopt('text' as never)).toThrow(expect.objectContaining({ code: 'INVALID_SOURCE' }));
  });

  it('of bytes is read as one UTF-8 stream, in which a character may be cut between two chunks', async () => {
    const bytes = Buffer.from('a€b');
    const { response } = new MemoryApp().stream(of(bytes.subarray(0, 2), bytes.subarray(2, 3), bytes.subarray(3)), { options: PLAIN });
    await turns();
    expect(response.received).toBe('data: a\n\ndata: €b\n\n');
  });

  it('of bytes that ends inside a character ends with a replacement character', async () => {
    const { response } = new MemoryApp().stream(of(Buffer.from('€').subarray(0, 2)), { options: PLAIN });
    await turns();
    expect(response.received).toBe('data: \uFFFD\n\n');
  });

  it('that never waits does not keep the event loop for itself', async () => {
    let pulled = 0;
    const endless = async function* () {
      for (;;) yield String(pulled++).repeat(1_000);
    };
    const { session } = new MemoryApp().stream(endless());
    await turns(10);
    expect(session.state).toBe('open');
    expect(pulled).toBeGreaterThan(0);
    session.close();
    await turns();
    const atEnd = pulled;
    await turns();
    expect(pulled).toBe(atEnd);
  });

  it('is paused while the client does not read, and goes on when it does; nothing is lost', async () => {
    let pulled = 0;
    const source = async function* () {
      for (; pulled < 100; pulled++) yield `${pulled} ${'x'.repeat(10_000)}`;
    };
    const { session, response } = new MemoryApp().connect({ options: PLAIN });
    response.pause();
    handle(session, source());
    await turns(20);
    expect(session.state).toBe('open');
    expect(pulled).toBeLessThan(30);
    expect(session.pendingBytes).toBeLessThan(256 * 1024);
    response.resume();
    await turns(100);
    expect(session.closeReason).toBe('complete');
    expect(response.received.match(/data: \d+ /g)).toHaveLength(100);
    expect(session.eventsDropped).toBe(0);
  });

  it.each([
    ['before the headers, within a small buffer', 100, ['x'.repeat(60), 'y'.repeat(60), 'z'.repeat(60)]],
    ['when a large event follows a small one', 1_048_576, ['small', 'x'.repeat(1_048_576), 'small again']],
    ['when each event is larger than the buffer', 50, ['x'.repeat(100), 'y'.repeat(100)]],
  ])('that is pulled never overflows: %s', async (_, maxBytes, values) => {
    const source = async function* () {
      for (const value of values) yield value;
    };
    const { session, response } = new MemoryApp().stream(source(), { options: { ...PLAIN, buffer: { maxBytes } } });
    await turns(20);
    expect(session.closeReason).toBe('complete');
    expect(response.received).toBe(values.map((value) => `data: ${value}\n\n`).join(''));
  });

  it('may end its session from inside its own next', async () => {
    const cleaned = jest.fn();
    const app = new MemoryApp();
    const { session, response, log } = app.connect({ options: PLAIN });
    handle(
      session,
      (async function* () {
        try {
          yield 'a';
          session.send('b');
          session.complete();
          yield 'never';
        } finally {
          cleaned();
        }
      })(),
    );
    await turns();
    expect(response.received).toBe('data: a\n\ndata: b\n\n');
    expect(log).toEqual(['settled', 'open', 'completion complete']);
    expect(cleaned).toHaveBeenCalledTimes(1);
  });

  it('may end its session while it is being subscribed', async () => {
    const app = new MemoryApp();
    const { session, log } = app.connect({ options: PLAIN });
    const unsubscribed = jest.fn();
    handle(
      session,
      new Observable((subscriber) => {
        session.close();
        subscriber.next('never');
        return unsubscribed;
      }),
    );
    await turns();
    expect(unsubscribed).toHaveBeenCalledTimes(1);
    expect(log).toEqual(['settled', 'open', 'completion cancelled']);
  });

  it('that throws as it is stopped is logged, and the end goes its way', async () => {
    const app = new MemoryApp();
    const { session, log } = app.stream(
      new Observable(() => () => {
        throw new Error('teardown');
      }),
    );
    await turns();
    session.close();
    await turns();
    expect(log).toEqual(['settled', 'open', 'completion cancelled']);
    expect(app.logger.warnings).toEqual([expect.stringMatching(/failed while it was stopped.*teardown/s)]);
  });

  it('whose upstream fails as it is torn down by the abort does not fail the session', async () => {
    const app = new MemoryApp();
    const { session, log } = app.connect();
    const { signal } = session;
    handle(
      session,
      (async function* () {
        yield 'a';
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      })(),
    );
    await turns();
    session.close();
    await turns();
    expect(log.slice(2)).toEqual(['completion cancelled']);
    expect(app.logger).toMatchObject({ errors: [], warnings: [] });
  });

  it('is stopped in the context of its own request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const app = new MemoryApp();
    const client = storage.run('own', () => {
      const connected = app.connect({ options: { timeoutMs: 1_000 } });
      connected.session.onCompletion(() => seen.push(storage.getStore()));
      connected.session.signal.addEventListener('abort', () => seen.push(storage.getStore()));
      handle(connected.session, new Observable(() => () => seen.push(storage.getStore())));
      return connected;
    });
    await turns();
    storage.run('another', () => app.clock.advance(1_050));
    await turns();
    expect(client.session.closeReason).toBe('timeout');
    expect(seen).toEqual(['own', 'own', 'own']);
  });
});

describe('hooks', () => {
  it("are called in the order: the session's own, the route's, the application's; the route's on the controller", async () => {
    const calls: unknown[][] = [];
    const controller = { name: 'controller' };
    const app = new MemoryApp();
    app.registry.hooks.completion.push((...args) => calls.push(['application', ...args]));
    const { session } = app.open({
      controller,
      hooks: {
        onCompletion(this: unknown, ...args: unknown[]) {
          calls.push(['route', this, ...args]);
        },
      },
    });
    session.onCompletion((...args) => calls.push(['first', ...args]));
    session.onCompletion((...args) => calls.push(['second', ...args]));
    session.complete();
    await turns();
    expect(calls).toEqual([
      ['first', session, 'complete'],
      ['second', session, 'complete'],
      ['route', controller, session, 'complete'],
      ['application', session, 'complete'],
    ]);
  });

  it('get the error, and each kind its own arguments', async () => {
    const calls: unknown[][] = [];
    const app = new MemoryApp();
    for (const kind of ['open', 'timeout', 'error', 'completion'] as const)
      app.registry.hooks[kind].push((...args: unknown[]) => calls.push([kind, ...args]));
    const error = new Error('x');
    const { session } = app.open();
    session.fail(error);
    await turns();
    expect(calls).toEqual([
      ['open', session],
      ['error', session, error],
      ['completion', session, 'error'],
    ]);
  });

  it('that are added late run: what they free must be freed', async () => {
    const app = new MemoryApp();
    const { session } = app.open();
    session.fail(new Error('x'));
    await turns();
    const calls: string[] = [];
    session.onOpen(() => calls.push('open'));
    session.onTimeout(() => calls.push('timeout'));
    session.onError((_, error) => calls.push(String(error)));
    session.onCompletion((_, reason) => calls.push(reason));
    expect(calls).toEqual([]);
    await turns(1);
    expect(calls).toEqual(['open', 'Error: x', 'error']);
  });

  it('that are added to a session that never opened do not open', async () => {
    const { session } = new MemoryApp().connect();
    session.fail(new Error('x'));
    const open = jest.fn();
    session.onOpen(open);
    await turns();
    expect(open).not.toHaveBeenCalled();
  });

  it('may be added from inside a hook of the same kind, and run once', async () => {
    const { session } = new MemoryApp().open();
    const inner = jest.fn();
    session.onCompletion(() => session.onCompletion(inner));
    session.signal.addEventListener('abort', () => session.onCompletion(inner));
    session.close();
    await turns();
    expect(inner).toHaveBeenCalledTimes(2);
  });

  it.each<[string, (session: SseSession) => void]>([
    ['send', (session) => expect(session.send('from a hook')).toBe('closed')],
    ['complete', (session) => session.complete()],
    ['close', (session) => session.close()],
    ['comment', (session) => session.comment('x')],
    ['add callbacks', (session) => session.onCompletion(() => undefined)],
  ])('of the end may %s, to no effect', async (_, act) => {
    const { session, response, log } = new MemoryApp().open({ options: PLAIN, hooks: { onCompletion: act, onError: act } });
    session.fail(new Error('x'));
    await turns();
    expect(session.closeReason).toBe('error');
    expect(response.received).toBe('event: error\ndata: Internal server error\n\n');
    expect(log).toEqual(['settled', 'open', 'error x', 'completion error']);
  });

  it('of the opening may send', async () => {
    const { response } = new MemoryApp().open({ options: PLAIN, hooks: { onOpen: (session) => session.send('welcome') } });
    await turns();
    expect(response.received).toBe('data: welcome\n\n');
  });

  it.each<[CloseReason, (session: SseSession) => void]>([
    ['complete', (session) => session.complete()],
    ['cancelled', (session) => session.close()],
  ])('of the opening may end the session as %s', async (reason, act) => {
    const app = new MemoryApp();
    const { session, log } = app.open({ hooks: { onOpen: act } });
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: reason });
    expect(log).toEqual(['settled', 'open', `completion ${reason}`]);
    expect(app.events).toEqual(['open', `completion ${reason}`]);
    expect(app.registry.wheel.size).toBe(0);
  });

  it('of the opening do not run any more after one of them has cut the session: its completion has been', () => {
    const app = new MemoryApp();
    const calls: string[] = [];
    app.registry.hooks.open.push(() => calls.push('application open'));
    const { session, response } = app.connect({ hooks: { onOpen: () => calls.push('route open') } });
    session.onOpen(() => response.disconnect());
    session.onCompletion(() => calls.push('completion'));
    session.open();
    expect(calls).toEqual(['completion']);
  });

  it('of the opening may cut the session, and events$ still tells of its opening first', async () => {
    const app = new MemoryApp({ buffer: { maxBytes: 10 } });
    const response = new MemoryResponse(1);
    response.pause();
    const { session } = app.open({
      response,
      hooks: {
        onOpen: (opened) => {
          opened.send('a');
          opened.send('b');
        },
      },
    });
    await turns();
    expect(session).toMatchObject({ state: 'closed', closeReason: 'slow-client' });
    expect(app.events).toEqual(['open', 'error', 'completion slow-client']);
    expect(app.registry.wheel.size).toBe(0);
  });

  it('run once although the end is asked for from many sides at once', async () => {
    const app = new MemoryApp();
    const { session, response, log } = app.open();
    session.signal.addEventListener('abort', () => {
      session.complete();
      response.disconnect();
      session.fail(new Error('late'));
    });
    session.close();
    await turns();
    expect(log.slice(2)).toEqual(['completion cancelled']);
    expect(app.registry.size).toBe(0);
    expect(app.registry.wheel.size).toBe(0);
  });

  it('that throw, reject or hang keep nothing from running', async () => {
    const app = new MemoryApp();
    const last = jest.fn();
    const { session } = app.open({
      hooks: {
        onCompletion() {
          throw new Error('thrown');
        },
      },
    });
    session.onCompletion(() => Promise.reject(new Error('rejected')));
    session.onCompletion(() => new Promise(() => undefined));
    app.registry.hooks.completion.push(last);
    session.complete();
    await turns();
    expect(last).toHaveBeenCalledTimes(1);
    expect(app.logger.errors).toEqual([
      expect.stringMatching(/completion hook .* threw: Error: thrown/),
      expect.stringMatching(/rejected: Error: rejected/),
    ]);
    expect(app.registry.size).toBe(0);
  });
});

describe('two sessions', () => {
  it('have nothing in common', async () => {
    const app = new MemoryApp();
    const [one, other] = [app.open({ options: PLAIN }), app.open({ options: PLAIN })];
    one.session.data['mine'] = true;
    one.session.send('a');
    one.session.fail(new Error('x'));
    await turns();
    expect(other.session).toMatchObject({ state: 'open', data: {} });
    expect(other.response.received).toBe('');
    expect(other.session.signal.aborted).toBe(false);
  });
});

describe('cut', () => {
  it('ends what is still writing its last, with the reason that it has', async () => {
    const { session, response } = new MemoryApp().open({ response: new MemoryResponse(1) });
    response.pause();
    session.send('a');
    await turns();
    session.close();
    session.cut('shutdown');
    expect(session).toMatchObject({ state: 'closed', closeReason: 'cancelled' });
    expect(response.isDestroyed).toBe(true);
  });
});

it('names the session in its errors', () => {
  const { session } = new MemoryApp().open({ route: 'GET /chat/:id' });
  session.end('error', undefined);
  const response = new MemoryResponse(1);
  response.pause();
  const { session: slow } = new MemoryApp().open({ route: 'GET /slow', response, options: { buffer: { maxBytes: 5 } } });
  slow.send('a');
  slow.send('b');
  expect((slow.error as SseSessionError).message).toContain('GET /slow');
});

it('shows its public fields alone to JSON and to console.log', () => {
  const secret = 'sk-secret';
  const { session } = new MemoryApp().open({ controller: { apiKey: secret }, principal: 'ada', key: 'answer' });
  session.data.token = secret;
  expect(JSON.parse(JSON.stringify(session))).toMatchObject({
    id: session.id,
    principal: 'ada',
    key: 'answer',
    state: 'open',
    eventsSent: 0,
  });
  expect(JSON.stringify(session)).not.toContain(secret);
  expect(inspect(session, { depth: 10 })).toContain(session.id);
  expect(inspect(session, { depth: 10, showHidden: true })).not.toContain(secret);
});

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
