// A clock that jumps, and an event loop that stands still.
import { isClean, pause, seconds } from '../lib/harness.mjs';

export const rows = [
  {
    name: 'wall clock stepped back by an hour',
    injected: "the process's wall clock is set back while 20 sessions live that may live 4 s",
    promise: 'they end as `timeout` when their time is up, and heartbeats go on',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({ module: { timeoutMs: 4_000, heartbeat: { intervalMs: 500 } } });
      const clients = await Promise.all(Array.from({ length: 20 }, () => stage.client(server.port, '/stream?source=quiet')));
      const openedAt = performance.now();
      await Promise.all(clients.map((client) => client.waitFor('data:')));
      await server.ask('stepClock', { ms: -3_600_000 });
      await Promise.all(clients.map((client) => client.waitFor('0\r\n\r\n').then(() => (client.lived = performance.now() - openedAt))));
      const seen = await server.settled();
      const lived = clients.map((client) => client.lived);
      const heartbeats = Math.min(...clients.map(({ received }) => received.split(': heartbeat').length - 1));
      return {
        figure: `${seen.ends.filter(({ reason }) => reason === 'timeout').length} of 20 ended as timeout after ${seconds(Math.min(...lived))} to ${seconds(Math.max(...lived))}, with ${heartbeats} heartbeats or more`,
        // the lifetime is jittered by up to -10 %
        ok: Math.min(...lived) > 3_500 && Math.max(...lived) < 4_800 && heartbeats >= 5 && isClean(seen),
      };
    },
  },
  {
    name: 'event loop blocked for 10 s',
    injected: 'the loop stands still for 10 s while 20 clients read and 5 leave; `deadPeer.timeoutMs` and `stallTimeoutMs` are 3 s',
    promise: 'no false end: the 20 live on, the 5 end as `client-disconnect`',
    run: async (stage) => {
      const server = await stage.server({
        module: {
          heartbeat: { intervalMs: 500 },
          deadPeer: { timeoutMs: 3_000 },
          buffer: { stallTimeoutMs: 3_000 },
          cleanup: { intervalMs: 500 },
        },
      });
      const clients = await Promise.all(Array.from({ length: 25 }, () => stage.client(server.port, '/stream?source=ticks&ms=100')));
      await Promise.all(clients.map((client) => client.waitFor('"n":3')));
      const blocked = server.ask('block', { ms: 10_000 });
      await pause(1_000);
      for (const client of clients.slice(20)) client.socket.destroy();
      await blocked;
      await pause(6_000);
      const { ends, stats, uncaught } = await server.ask('seen');
      return {
        figure: `${stats.sessions.open} of 20 live on, ${ends.filter(({ reason }) => reason === 'client-disconnect').length} of 5 ended as client-disconnect`,
        ok:
          stats.sessions.open === 20 &&
          ends.length === 5 &&
          ends.every(({ reason }) => reason === 'client-disconnect') &&
          uncaught.length === 0,
      };
    },
  },
];
