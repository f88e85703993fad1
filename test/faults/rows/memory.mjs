// Clients that do not read, and many sessions one after the other.
import { isClean, megabytes, ms, pause, percentile, until } from '../lib/harness.mjs';

/** The delays of the events that a client has, by the times that they carry. */
function delaysOf(client, from = 0) {
  const delays = [];
  for (const [, json] of client.arrivals ?? []) if (json.n >= from) delays.push(json.delay);
  return delays;
}

/** Notes of each event when it came. */
function timeArrivals(client) {
  client.arrivals = [];
  let rest = '';
  client.socket.on('data', (data) => {
    const now = Date.now();
    const lines = (rest + data.toString('latin1')).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue;
      const { n, at } = JSON.parse(line.slice(6));
      client.arrivals.push([now, { n, delay: now - at }]);
    }
  });
}

async function healthyDelay(stage, withSlow) {
  const server = await stage.server({ module: { buffer: { maxBytes: 8_388_608, stallTimeoutMs: 60_000 } } });
  const healthy = await Promise.all(Array.from({ length: 50 }, () => stage.client(server.port, '/stream?source=ticks&ms=50')));
  healthy.forEach(timeArrivals);
  if (withSlow) {
    const slow = await stage.client(server.port, '/stream?source=endless');
    await slow.waitFor('data:');
    slow.socket.pause();
  }
  await pause(500);
  for (const client of healthy) client.arrivals = [];
  await pause(4_000);
  return {
    delay: percentile(
      healthy.flatMap((client) => delaysOf(client)),
      0.99,
    ),
    server,
  };
}

export const rows = [
  {
    name: 'client that never reads, beside 50 that do',
    injected: 'one client stops reading an endless stream; 50 others get an event every 50 ms',
    promise: "the others' p99 delay stays within 2 x of what it is without, and the memory within the buffer",
    run: async (stage) => {
      // the slower of two runs without: a machine that does other things too is late by itself
      const first = await healthyDelay(stage, false);
      const second = await healthyDelay(stage, false);
      const without = Math.max(first.delay, second.delay);
      const { delay: withSlow, server } = await healthyDelay(stage, true);
      const { stats } = await server.ask('seen');
      return {
        figure: `p99 ${ms(without)} without, ${ms(withSlow)} with; ${megabytes(stats.bytes.pending)} wait`,
        ok: withSlow <= Math.max(2 * without, 20) && stats.bytes.pending < 9_000_000,
      };
    },
  },
  {
    name: 'flood of clients that do not read',
    injected: '100 clients do not read; 16 KB after 16 KB is pushed to each, 600 MB in all, with a `maxTotalBytes` of 32 MB',
    promise: 'what waits, in sessions and in Node, stays below the budget (and 1/64), those with most waiting end as `slow-client`',
    quick: true,
    run: async (stage) => {
      const budget = 32_000_000;
      const server = await stage.server({ module: { maxTotalBytes: budget, buffer: { maxBytes: 6_000_000 }, heartbeat: false } });
      const clients = await Promise.all(Array.from({ length: 100 }, () => stage.client(server.port, '/stream?source=pushed')));
      await Promise.all(clients.map((client) => client.waitFor('200 OK')));
      for (const client of clients) client.socket.pause();
      const { most, mostMemory } = await server.ask('flood', { bytes: 6_000_000 });
      const { stats, uncaught } = await server.ask('seen');
      const ended = stats.endedByReason['slow-client'];
      return {
        figure: `at most ${megabytes(most)} waited, heap + external grew by ${megabytes(mostMemory)}; ${ended} ended as slow-client`,
        // as much again for strings that were joined and for what Node adds to each write
        ok: most <= budget * (1 + 1 / 64) + 100_000 && mostMemory < 2 * budget && ended > 0 && ended < 100 && uncaught.length === 0,
      };
    },
  },
  {
    name: 'churn',
    injected: '100,000 sessions, 100 at a time, which end by themselves, by their client (FIN, RST) or while they are set up',
    promise: '`onCompletion` / sessions = 1.000, nothing left, and the heap has grown by less than 1 MB',
    run: (stage) => churn(stage, 100_000),
  },
  {
    name: 'churn, quick',
    injected: 'the same with 4,000 sessions',
    promise: 'the same',
    quick: true,
    run: (stage) => churn(stage, 4_000),
  },
];

const KINDS = ['done', 'ticks', 'late', 'quiet'];

async function churn(stage, count) {
  const server = await stage.server({});
  const run = async (sessions) => {
    let started = 0;
    const workers = Array.from({ length: 100 }, async () => {
      while (started < sessions) {
        const kind = KINDS[started++ % KINDS.length];
        const client = await stage.client(server.port, `/stream?source=${kind}&ms=5`);
        if (kind === 'late') await pause(Math.random() * 5);
        else if (kind === 'done') await client.waitFor('0\r\n\r\n');
        else await client.waitFor('data:');
        if (started % 3 === 0) client.socket.resetAndDestroy();
        else client.socket.destroy();
        await client.closed;
      }
    });
    await Promise.all(workers);
    await server.settled();
    await until(async () => (await server.ask('sockets')) === 0);
  };
  // the first sessions compile the code and fill the caches
  await run(Math.min(count, 5_000));
  await server.ask('forget');
  const before = await server.ask('heap');
  const timersBefore = await server.ask('timers');
  for (let done = 0; done < count; done += 5_000) {
    await run(Math.min(count, 5_000));
    // what the server of the suite keeps of each session would be a growth of its own
    await server.ask('forget');
  }
  const after = await server.ask('heap');
  const seen = await server.settled();
  const sockets = await server.ask('sockets');
  const timers = (await server.ask('timers')) - timersBefore;
  const grown = after.heapUsed - before.heapUsed;
  const completed = Object.values(seen.stats.endedByReason).reduce((sum, n) => sum + n, 0);
  return {
    figure: `${(completed / seen.created).toFixed(3)} of ${seen.created}; ${sockets} sockets and ${timers} timers left; heap ${grown < 0 ? '' : '+'}${(grown / 1_024).toFixed(0)} KB`,
    ok: completed === seen.created && sockets === 0 && timers <= 0 && grown < 1_000_000 && isClean(seen),
  };
}
