import { randomInt } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { Observable } from 'rxjs';
import type { SseSession, SseSource } from 'nestjs-sse-session';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { startLife, turns } from '../support/life.js';
import type { RawClient } from '../support/raw-client.js';

/** `npm run figures` cuts more of them, and measures. */
const SESSIONS = 300;
const AT_ONCE = 20;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** What becomes of a session, by what its client and the server do to it. */
const FATES: Record<string, (client: RawClient, end: () => unknown) => Promise<unknown>> = {
  fin: async (client) => {
    await client.waitFor('data: ');
    await pause(randomInt(0, 20));
    await client.fin();
  },
  rst: async (client) => {
    await client.waitFor('data: ');
    await pause(randomInt(0, 20));
    await client.reset();
  },
  'half-close': async (client) => {
    await client.waitFor('data: ');
    client.halfClose();
    await client.closed;
  },
  'during set-up': async (client) => {
    await pause(randomInt(0, 30));
    await (randomInt(2) === 0 ? client.fin() : client.reset());
  },
  'after completion': async (client, complete) => {
    await client.waitFor('data: ');
    complete();
    await client.whole();
    await client.reset();
  },
  'while it completes': async (client, complete) => {
    await client.waitFor('data: ');
    complete();
    await client.reset();
  },
  cancelled: async (client, cancel) => {
    await client.waitFor('data: ');
    cancel();
    await client.whole();
  },
};

describeEachAdapter(`Of ${SESSIONS} sessions that are cut at random`, ({ startApp }) => {
  it('none is left, each has exactly one onCompletion, and every source is let go of', async () => {
    const bySecret = new Map<string, SseSession>();
    let sources = 0;
    let letGo = 0;
    const makers: ((session: SseSession) => SseSource)[] = [
      () =>
        new Observable((subscriber) => {
          sources++;
          const timer = setInterval(() => subscriber.next('tick'), 2);
          return () => {
            clearInterval(timer);
            letGo++;
          };
        }),
      async function* ({ signal }) {
        sources++;
        try {
          while (!signal.aborted) {
            yield { at: Date.now() };
            await pause(2);
          }
        } finally {
          letGo++;
        }
      },
      () => {
        sources++;
        let timer: NodeJS.Timeout;
        return new ReadableStream<string>({
          start: (controller) => void (timer = setInterval(() => controller.enqueue('tick'), 2)),
          cancel: () => {
            clearInterval(timer);
            letGo++;
          },
        });
      },
    ];
    const life = await startLife(startApp, async (session, { query }) => {
      bySecret.set(query.run ?? '', session);
      await pause(randomInt(0, 20));
      return makers[randomInt(makers.length)]!(session);
    });

    const names = Object.keys(FATES);
    let next = 0;
    const worker = async () => {
      for (let run = next++; run < SESSIONS; run = next++) {
        const name = names[run % names.length]!;
        const client = await life.get(`/life?run=${run}`);
        const session = () => bySecret.get(String(run));
        await FATES[name]!(client, () => (name === 'cancelled' ? life.manager.cancel(session()!.id) : session()?.complete()));
        await client.fin();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));

    await eventually(() => expect(life.manager.size).toBe(0));
    // a generator that has not begun is let go of without ever having counted
    await eventually(() => expect(letGo).toBe(sources));
    await turns(20);
    const ids = life.ends.map(({ session }) => session.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(SESSIONS * 0.9);
    expect(new Set(life.sessions.map(({ id }) => id)).size).toBe(life.sessions.length);
    expect(life.sessions.filter(({ id }) => !ids.includes(id))).toEqual([]);
    for (const level of ['session', 'route', 'provider']) {
      const completions = life.log.filter((line) => line.startsWith(`${level} completion`)).length;
      expect({ level, completions }).toEqual({ level, completions: level === 'session' ? life.sessions.length : ids.length });
    }
    const reasons = new Set(life.ends.map(({ reason }) => reason));
    expect([...reasons].sort()).toEqual(['cancelled', 'client-disconnect', 'complete']);
    expect(life.manager.stats()).toMatchObject({ connections: 0, bytes: { pending: 0 }, sessions: { connecting: 0, open: 0, closing: 0 } });
    expect(life.logged).toEqual([]);
  });
});
