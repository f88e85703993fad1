import { describe, expect, it, jest } from '@jest/globals';
import { FakeClock, createTestSession } from '../../../lib/testing/index.js';
import { SseSession } from '../../../lib/session/sse-session.js';
import { turns } from '../../support/memory-session.js';

describe('createTestSession', () => {
  it('makes an open session without a socket', () => {
    const session = createTestSession({ principal: 'ann', key: 'k', route: 'GET /chat/:id' });
    expect(session).toBeInstanceOf(SseSession);
    expect(session).toMatchObject({ state: 'open', principal: 'ann', key: 'k', route: 'GET /chat/:id', connections: 1 });
    expect(createTestSession().route).toBe('GET /test');
  });

  it('keeps the events that it was sent, and the bytes', async () => {
    const session = createTestSession();
    session.send('a');
    session.send({ data: { b: 1 }, type: 't' });
    await session.flushed();
    expect(session.events).toEqual([{ data: 'a' }, { data: '{"b":1}', type: 't' }]);
    expect(session.received).toBe('retry: 2000\ndata: a\n\nevent: t\ndata: {"b":1}\n\n');
  });

  it('keeps neither what was refused nor what came too late', () => {
    const session = createTestSession();
    expect(() => session.send(undefined as never)).toThrow();
    session.complete();
    session.send('late');
    expect(session.events).toEqual([]);
  });

  it('joins a character that is cut between two writes of a large event', async () => {
    const session = createTestSession({ options: { retryMs: false } });
    session.send('€'.repeat(50_000));
    await session.flushed();
    expect(session.received).toBe(`data: ${'€'.repeat(50_000)}\n\n`);
  });

  it('ends as a real one does, with its hooks', async () => {
    const session = createTestSession();
    const completed = jest.fn();
    session.onCompletion(completed);
    const { signal } = session;
    session.complete();
    await turns();
    expect(completed.mock.calls).toEqual([[session, 'complete']]);
    expect(signal.aborted).toBe(true);
  });

  it('is left by its client when it is told so', () => {
    const session = createTestSession();
    const error = new Error('ECONNRESET');
    session.disconnect(error);
    expect(session).toMatchObject({ state: 'closed', closeReason: 'client-disconnect', error });
  });

  it('runs on a fake clock, without jitter', () => {
    const clock = new FakeClock();
    const session = createTestSession({ clock, options: { timeoutMs: 10_000 } });
    clock.advance(9_999);
    expect(session.state).toBe('open');
    clock.advance(51);
    expect(session.closeReason).toBe('timeout');
  });

  it('checks its options as @ManagedSse() does', () => {
    expect(() => createTestSession({ options: { timeoutMs: 0 } })).toThrow(/GET \/test: option "timeoutMs" is 0/);
  });
});
