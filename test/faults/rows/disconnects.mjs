// Clients that leave, in every way and at every time.
import { readFileSync } from 'node:fs';
import { connect as connectHttp2, constants } from 'node:http2';
import { chromium } from 'playwright-core';
import { isClean, ms, pause, percentile, until } from '../lib/harness.mjs';

/** How the browser tests start it. */
const CHROMIUM = new URL('../../support/chromium.json', import.meta.url);
const COUNT = 50;

/** Opens streams, lets all leave in one way, and says how long it took until onCompletion. */
async function leave(stage, how) {
  const server = await stage.server({ module: { heartbeat: { intervalMs: 1_000 } } });
  const clients = await Promise.all(
    Array.from({ length: COUNT }, (_, n) => stage.client(server.port, `/stream?source=ticks&ms=50&tag=c${n}`)),
  );
  await Promise.all(clients.map((client) => client.waitFor('data:')));
  const leftAt = new Map();
  for (const [n, client] of clients.entries()) {
    leftAt.set(`c${n}`, Date.now());
    how(client.socket);
    await pause(5);
  }
  const seen = await server.settled();
  const took = seen.ends.map(({ tag, at }) => at - leftAt.get(tag));
  const right = seen.ends.filter(({ reason }) => reason === 'client-disconnect').length;
  return {
    figure: `${right} of ${COUNT} noticed, p99 ${ms(percentile(took, 0.99))}; ${seen.disposed} sources let go of`,
    // other processes take part in this time: 20 ms of Node's own close are shown by the figures of bench/chaos.mjs
    ok: right === COUNT && seen.disposed === COUNT && percentile(took, 0.99) < 500 && isClean(seen),
  };
}

const noticed = 'noticed at once, the source let go of, `onCompletion` once';

export const rows = [
  {
    name: 'FIN',
    injected: `${COUNT} clients close their sockets`,
    promise: noticed,
    quick: true,
    run: (stage) => leave(stage, (socket) => socket.end().destroy()),
  },
  {
    name: 'RST',
    injected: `${COUNT} clients reset their connections`,
    promise: noticed,
    run: (stage) => leave(stage, (socket) => socket.resetAndDestroy()),
  },
  {
    name: 'half-close',
    injected: `${COUNT} clients send FIN and go on reading (\`shutdown(SHUT_WR)\`)`,
    promise: noticed,
    run: (stage) => leave(stage, (socket) => socket.end()),
  },
  {
    name: 'tab closed',
    injected: 'Chromium closes a tab with an `EventSource`, ten times',
    promise: noticed,
    run: async (stage) => {
      const server = await stage.server({ adapter: 'express' });
      const { executablePath, args } = JSON.parse(readFileSync(CHROMIUM, 'utf8'));
      const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_PATH ?? executablePath, args });
      stage.onEnd(() => browser.close());
      const took = [];
      for (let n = 0; n < 10; n++) {
        const page = await browser.newPage();
        await page.goto(`http://127.0.0.1:${server.port}/nothing`);
        await page.evaluate(
          (url) => new Promise((resolve) => (new EventSource(url).onmessage = resolve)),
          `/stream?source=ticks&ms=50&tag=tab${n}`,
        );
        const leftAt = Date.now();
        await page.close();
        await until(async () => (await server.ask('seen')).ends.length > n);
        took.push((await server.ask('seen')).ends[n].at - leftAt);
      }
      const seen = await server.settled();
      return {
        figure: `10 of 10 noticed, at most ${ms(Math.max(...took))} after the tab was told to close`,
        ok: seen.ends.length === 10 && isClean(seen),
      };
    },
  },
  {
    name: 'client leaves during set-up',
    injected: '500 clients leave 0 to 50 ms after their request, whose handlers take 0 to 50 ms and ignore the signal',
    promise: '`onCompletion` / sessions = 1.000, every late source let go of',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({});
      for (let round = 0; round < 10; round++) {
        await Promise.all(
          Array.from({ length: 50 }, async () => {
            const client = await stage.client(server.port, `/stream?source=late&ms=${Math.round(Math.random() * 50)}`);
            await pause(Math.random() * 50);
            if (Math.random() < 0.5) client.socket.destroy();
            else client.socket.resetAndDestroy();
            await client.closed;
          }),
        );
      }
      await until(async () => {
        const { handlerRuns, disposed } = await server.ask('seen');
        return handlerRuns === disposed;
      });
      const seen = await server.settled();
      return {
        figure: `${(seen.completed / seen.created).toFixed(3)} of ${seen.created}; ${seen.disposed} of ${seen.handlerRuns} sources let go of`,
        ok: seen.completed === seen.created && seen.disposed === seen.handlerRuns && isClean(seen),
      };
    },
  },
  {
    name: 'POST whose body was consumed',
    injected: '20 POST requests with a JSON body, whose request emits `close` at once',
    promise: 'no stream ends before its client leaves',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({});
      const clients = await Promise.all(
        Array.from({ length: 20 }, () =>
          stage.client(server.port, '/stream?source=ticks&ms=50', { method: 'POST', body: '{"question":"why"}' }),
        ),
      );
      await Promise.all(clients.map((client) => client.waitFor('"n":10')));
      const before = await server.ask('seen');
      for (const client of clients) client.socket.destroy();
      const seen = await server.settled();
      return {
        figure: `${before.stats.sessions.open} of 20 open after 10 events, ${seen.ends.length} ended when their clients left`,
        ok: before.stats.sessions.open === 20 && seen.ends.length === 20 && isClean(seen),
      };
    },
  },
  {
    name: '200 pipelined requests',
    injected: '200 requests on one socket in one write',
    promise: 'one handler runs, 199 requests are refused, and all ends when the client leaves',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({ module: { heartbeat: { intervalMs: 500 } } });
      const client = await stage.client(server.port, '/stream?source=quiet');
      await client.waitFor('data:');
      client.socket.write('GET /stream?source=quiet HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n'.repeat(199));
      // beyond some of them Node itself stops reading, until the stream has ended
      await until(async () => (await server.ask('seen')).stats.rejected >= 100);
      await pause(200);
      const { handlerRuns, stats } = await server.ask('seen');
      client.socket.destroy();
      const seen = await server.settled();
      return {
        figure: `${handlerRuns} handler ran, ${stats.rejected} refused before Node stopped reading; ${seen.ends.length} session ended`,
        ok: handlerRuns === 1 && seen.ends.length === 1 && isClean(seen),
      };
    },
  },
  {
    name: 'HTTP/2 cancel and GOAWAY',
    injected: 'streams reset with CANCEL and NO_ERROR, connections closed with GOAWAY and destroyed, 40 streams in all',
    promise: noticed,
    run: async (stage) => {
      const server = await stage.server({ http2: true });
      const open = async (session) => {
        const stream = session.request({ ':path': '/stream?source=ticks&ms=50', accept: 'text/event-stream' });
        stream.on('error', () => undefined);
        await new Promise((resolve) => stream.once('data', resolve));
        return stream;
      };
      const leaves = [
        (stream) => stream.close(constants.NGHTTP2_CANCEL),
        (stream) => stream.close(constants.NGHTTP2_NO_ERROR),
        (stream) => stream.session.goaway() ?? stream.session.destroy(),
        (stream) => stream.session.destroy(),
      ];
      for (const leaveBy of leaves) {
        const session = connectHttp2(`http://127.0.0.1:${server.port}`);
        session.on('error', () => undefined);
        stage.onEnd(() => session.destroy());
        const streams = await Promise.all(Array.from({ length: 10 }, () => open(session)));
        for (const stream of streams) if (!stream.destroyed) leaveBy(stream);
      }
      const seen = await server.settled();
      const right = seen.ends.filter(({ reason }) => reason === 'client-disconnect').length;
      return {
        figure: `${right} of 40 noticed, ${seen.disposed} sources let go of`,
        ok: right === 40 && seen.disposed === 40 && isClean(seen),
      };
    },
  },
];
