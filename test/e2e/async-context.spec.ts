import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnSseSession, type SseSession, type SseSource } from 'nestjs-sse-session';
import { FakeClock } from 'nestjs-sse-session/testing';
import { Observable } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { type LifeOptions, startLife, turns, untilBlocked } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

const USERS = Array.from({ length: 50 }, (_, index) => `user-${index}`);

/** What ran, as `user: what (context)`; every line must have its user as its context. */
class Contexts {
  readonly storage = new AsyncLocalStorage<string>();
  readonly #seen = new Map<string, string[]>();
  readonly foreign: string[] = [];

  note(session: SseSession, what: string): void {
    const user = session.data.user as string;
    const context = this.storage.getStore();
    if (context !== user) this.foreign.push(`${what} of ${user} ran in the context of ${context ?? 'nobody'}`);
    this.#seen.set(user, [...(this.#seen.get(user) ?? []), what]);
  }

  of(user: string): string[] {
    return this.#seen.get(user) ?? [];
  }
}

describeEachAdapter('In the context of its own request', ({ startApp }) => {
  const start = async (source: (session: SseSession, contexts: Contexts) => SseSource, options: LifeOptions = {}) => {
    const contexts = new Contexts();

    @Injectable()
    class Hooks {
      @OnSseSession('open')
      onOpen(session: SseSession): void {
        contexts.note(session, 'provider open');
      }

      @OnSseSession('timeout')
      onTimeout(session: SseSession): void {
        contexts.note(session, 'provider timeout');
      }

      @OnSseSession('completion')
      onCompletion(session: SseSession): void {
        contexts.note(session, 'provider completion');
      }
    }

    const life = await startLife(
      startApp,
      (session, { headers }) => {
        session.data.user = headers['x-user'];
        session.onOpen(() => contexts.note(session, 'open'));
        session.onTimeout(() => contexts.note(session, 'timeout'));
        session.onError(() => contexts.note(session, 'error'));
        session.onCompletion(() => contexts.note(session, 'completion'));
        session.signal.addEventListener('abort', () => contexts.note(session, 'abort'));
        return source(session, contexts);
      },
      {
        ...options,
        app: {
          providers: [Hooks],
          configure: (app) => {
            app.use((request: { headers: Record<string, string> }, _response: unknown, next: () => void) =>
              contexts.storage.run(request.headers['x-user'] ?? 'nobody', next),
            );
          },
        },
      },
    );
    const clients = await Promise.all(USERS.map((user) => life.get('/life', { 'X-User': user })));
    await Promise.all(clients.map((client) => client.waitFor('data: ')));
    return { life, contexts, clients };
  };

  const generated = (session: SseSession, contexts: Contexts): SseSource =>
    (async function* () {
      try {
        contexts.note(session, 'source');
        yield 'first';
        await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve()));
      } finally {
        contexts.note(session, 'source ends');
      }
    })();

  const observed = (session: SseSession, contexts: Contexts): SseSource =>
    new Observable((subscriber) => {
      contexts.note(session, 'source');
      subscriber.next('first');
      return () => contexts.note(session, 'source ends');
    });

  it.each([
    ['a generator', generated],
    ['an Observable', observed],
  ])('run the source (%s) and all hooks of each of 50 users, also when a shared timer ends them all', async (_what, source) => {
    const clock = new FakeClock();
    const { life, contexts } = await start(source, { clock, route: { timeoutMs: 60_000 } });
    contexts.storage.run('whoever moves the clock', () => clock.advance(60_100));
    await eventually(() => expect(life.ends).toHaveLength(USERS.length));
    await turns();
    expect(contexts.foreign).toEqual([]);
    for (const user of USERS) {
      expect(contexts.of(user).sort()).toEqual(
        [
          'abort',
          'completion',
          'open',
          'provider completion',
          'provider open',
          'provider timeout',
          'source',
          'source ends',
          'timeout',
        ].sort(),
      );
    }
  });

  it.each<[string, (client: RawClient) => Promise<void>]>([
    ['a FIN', (client) => client.fin()],
    ['an RST', (client) => client.reset()],
  ])('run the hooks of each of 50 users when their connections close with %s', async (_what, leave) => {
    const { life, contexts, clients } = await start(observed);
    await Promise.all(clients.map(leave));
    await eventually(() => expect(life.ends).toHaveLength(USERS.length));
    expect(contexts.foreign).toEqual([]);
    for (const user of USERS) {
      expect(contexts.of(user).sort()).toEqual(
        ['abort', 'completion', 'open', 'provider completion', 'provider open', 'source', 'source ends'].sort(),
      );
    }
  });

  it('run the hooks of each of 50 users when somebody else cancels them, or the application stops', async () => {
    const { life, contexts } = await start(generated);
    await contexts.storage.run('an administrator', () => life.manager.cancel(life.sessions[0]!.id));
    await contexts.storage.run('the signal handler', () => life.close());
    await eventually(() => expect(life.ends).toHaveLength(USERS.length));
    expect(contexts.foreign).toEqual([]);
  });

  it('go paused sources on when their clients read again', async () => {
    const SLOW = new Set(USERS.slice(0, 5));
    const contextsOf = new Map<string, Set<string | undefined>>();
    const { life, clients } = await start((session, { storage }) => {
      const user = session.data.user as string;
      const seen = new Set<string | undefined>();
      contextsOf.set(user, seen);
      return (async function* () {
        yield 'first';
        for (let n = 0; n < (SLOW.has(user) ? 400 : 4); n++) {
          seen.add(storage.getStore());
          yield 'x'.repeat(32_000);
        }
      })();
    });
    const slow = clients.slice(0, SLOW.size);
    slow.forEach((client) => client.pause());
    await eventually(() => expect(life.ends).toHaveLength(USERS.length - SLOW.size));
    await Promise.all(life.sessions.filter(({ state }) => state === 'open').map(untilBlocked));
    expect(life.manager.size).toBe(SLOW.size);
    slow.forEach((client) => client.resume());
    await eventually(() => expect(life.ends).toHaveLength(USERS.length));
    expect([...contextsOf].map(([user, seen]) => `${user}: ${[...seen].join()}`)).toEqual(USERS.map((user) => `${user}: ${user}`));
  });

  it('is nobody, in whose context the shared timers run', async () => {
    const storage = new AsyncLocalStorage<string>();
    const contextsOfTimers = new Set<string | undefined>();
    class WatchedClock extends FakeClock {
      override schedule(callback: () => void, delayMs: number): () => void {
        contextsOfTimers.add(storage.getStore());
        return super.schedule(callback, delayMs);
      }
    }
    const clock = new WatchedClock();
    const life = await startLife(startApp, () => undefined, {
      clock,
      route: { heartbeat: { intervalMs: 1_000 } },
      app: {
        configure: (app) => void app.use((_request: unknown, _response: unknown, next: () => void) => storage.run('ann', next)),
      },
    });
    const client = await life.get();
    await client.head();
    for (let n = 0; n < 3; n++) storage.run('bob', () => clock.advance(1_100));
    await client.waitFor((own) => own.body.split(': heartbeat').length === 4);
    expect([...contextsOfTimers]).toEqual([undefined]);
  });
});
