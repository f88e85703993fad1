// The application stops.
import { isClean, ms, pause } from '../lib/harness.mjs';

export const rows = [
  {
    name: 'SIGTERM with 1,000 sessions',
    injected: 'the process gets SIGTERM while 1,000 clients read',
    promise: 'each is told when to come back, gets its end, and the process is gone within 1 s',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({ signals: true, adapter: 'express', route: { endEvent: { type: 'end' } } });
      const clients = [];
      for (let n = 0; n < 10; n++) {
        clients.push(...(await Promise.all(Array.from({ length: 100 }, () => stage.client(server.port, '/stream?source=quiet')))));
      }
      await Promise.all(clients.map((client) => client.waitFor('data:', 20_000)));
      const before = performance.now();
      server.child.kill('SIGTERM');
      await server.exited;
      const took = performance.now() - before;
      await pause(200);
      const told = clients.filter(({ received }) =>
        /retry: \d+\nevent: end\ndata: \{"reason":"shutdown"\}\n\n\r\n0\r\n\r\n$/.test(received),
      ).length;
      return { figure: `${told} of 1,000 told and ended; gone after ${ms(took)}`, ok: told === 1_000 && took < 1_000 };
    },
  },
  {
    name: 'app.close() with clients that never read',
    injected: '20 clients do not read an endless stream, one has sent half a request behind its stream; `shutdown.timeoutMs` is 1 s',
    promise: 'closed in time, every session completed once',
    run: async (stage) => {
      const server = await stage.server({ module: { shutdown: { timeoutMs: 1_000 } } });
      const clients = await Promise.all(Array.from({ length: 20 }, () => stage.client(server.port, '/stream?source=endless')));
      await Promise.all(clients.map((client) => client.waitFor('data:')));
      for (const client of clients) client.socket.pause();
      const half = await stage.client(server.port, '/stream?source=quiet');
      await half.waitFor('data:');
      half.socket.write('GET /stream HTTP/1.1\r\nHo');
      await pause(500);
      const took = await server.ask('close');
      const seen = await server.ask('seen');
      return {
        figure: `closed after ${ms(took)}; ${seen.completed} of ${seen.created} completed`,
        ok: took < 1_500 && seen.completed === 21 && isClean(seen),
      };
    },
  },
];
