// What is measured. A load takes a contender's server and a client's process, both fresh, and gives its figures by the name of their column.
import { pause } from './child.mjs';

const SAMPLED_SOCKETS = 200;
const FIRST_SESSIONS = 100;

/** Figures of which the ratio against the baseline is of interest are `ratio`, sizes of which the difference is are `more`. */
const column = (unit, judged, digits = 2) => ({ unit, judged, digits });

const cpuPerEvent = (cpuMs, events) => (cpuMs * 1_000) / events;

async function allArrived(clients, expected) {
  const deadline = performance.now() + 10_000;
  let seen = await clients.ask('seen');
  while (seen.events < expected && performance.now() < deadline) {
    await pause(20);
    seen = await clients.ask('seen');
  }
  if (seen.events !== expected) throw new Error(`${seen.events} of ${expected} events arrived`);
  return seen;
}

/** The CPU of the server, in milliseconds, from the beginning of `work` until its last event has arrived. */
async function cpuOf(server, clients, work) {
  await server.ask('collect');
  await clients.ask('forget');
  const before = await server.ask('cpuMs');
  const expected = await work();
  const seen = await allArrived(clients, expected);
  return { cpu: cpuPerEvent((await server.ask('cpuMs')) - before, expected), ...seen };
}

const publish = (server, clients, sessions, { turns, perTurn, everyMs }) =>
  cpuOf(server, clients, async () => {
    await server.ask('publish', { turns, perTurn, everyMs });
    return turns * perTurn * sessions;
  });

export const PROFILED = { sessions: 2_000, turns: 200, perTurn: 1, everyMs: 25 };

/** Where the time of an event goes: microseconds by part, by a CPU profile. */
export async function profileEvents(server, clients, { port }) {
  const { sessions, ...load } = PROFILED;
  await clients.ask('open', { port, path: '/stream', sessions });
  await warmUp(server, clients, sessions);
  const parts = await server.ask('profile', load);
  return Object.fromEntries(Object.entries(parts).map(([part, us]) => [part, us / (sessions * load.turns * load.perTurn)]));
}

/** Of which kinds of objects the heap of an open session consists: bytes a session, by kind. */
export async function weighSessions(server, clients, { port }) {
  const { sessions } = PROFILED;
  await openFirst(server, clients, port);
  const before = await server.ask('bytesByKind');
  await clients.ask('open', { port, path: '/stream', sessions });
  await warmUp(server, clients, FIRST_SESSIONS + sessions);
  const after = await server.ask('bytesByKind');
  const perSession = Object.entries(after).map(([kind, bytes]) => [kind, (bytes - (before[kind] ?? 0)) / sessions]);
  return Object.fromEntries(perSession.filter(([, bytes]) => bytes >= 16));
}

/** What the first events compile is not an event's cost. */
const warmUp = (server, clients, sessions) => publish(server, clients, sessions, { turns: 30, perTurn: 1, everyMs: 10 });

/** Nor is what the first sessions and their events compile and cache a part of the next ones. */
async function openFirst(server, clients, port) {
  await clients.ask('open', { port, path: '/stream', sessions: FIRST_SESSIONS });
  await publish(server, clients, FIRST_SESSIONS, { turns: 300, perTurn: 1, everyMs: 2 });
}

export const loads = {
  steady: {
    title: 'Fan-out',
    describe: ({ sessions, turns, bursts }) =>
      `${sessions} sessions; ${turns} events to all of them, one a turn of the event loop, then ${bursts} turns of 10 events, which plain Node writes one by one. Heap and resident memory are those of an open session between its events.`,
    columns: {
      'one event a turn': column('µs CPU / event', 'ratio'),
      'events per second of one core': column('', 'none', 0),
      'bursts of 10': column('µs CPU / event', 'ratio'),
      heap: column('KB / session', 'more', 1),
      resident: column('KB / session', 'none', 0),
    },
    full: { sessions: 2_000, turns: 200, bursts: 50 },
    quick: { sessions: 500, turns: 60, bursts: 20 },
    async measure(server, clients, { port, sessions, turns, bursts }) {
      await openFirst(server, clients, port);
      const before = await server.ask('memory');
      await clients.ask('open', { port, path: '/stream', sessions: sessions - FIRST_SESSIONS });
      await warmUp(server, clients, sessions);
      const idle = await server.ask('memory');
      const single = await publish(server, clients, sessions, { turns, perTurn: 1, everyMs: 25 });
      const burst = await publish(server, clients, sessions, { turns: bursts, perTurn: 10, everyMs: 60 });
      return {
        'one event a turn': single.cpu,
        'events per second of one core': 1e6 / single.cpu,
        'bursts of 10': burst.cpu,
        heap: (idle.heapUsed - before.heapUsed) / (sessions - FIRST_SESSIONS) / 1_024,
        resident: (idle.rss - before.rss) / (sessions - FIRST_SESSIONS) / 1_024,
      };
    },
  },

  paced: {
    title: 'Fan-out, ten events a second',
    describe: ({ sessions, seconds }) =>
      `${sessions} sessions, 10 events a second to all of them for ${seconds} s (or as fast as it goes, where a turn takes more than 100 ms). The delay is that from the call that publishes to the client, on ${SAMPLED_SOCKETS} of the sockets.`,
    columns: {
      'one event a turn': column('µs CPU / event', 'ratio'),
      'delay p50': column('ms', 'none', 1),
      'delay p99': column('ms', 'none', 1),
    },
    full: { sessions: 10_000, seconds: 4 },
    quick: { sessions: 1_000, seconds: 1 },
    async measure(server, clients, { port, sessions, seconds }) {
      await clients.ask('open', { port, path: '/stream', sessions, sampleEvery: sessions / SAMPLED_SOCKETS });
      await warmUp(server, clients, sessions);
      const { cpu, p50, p99 } = await publish(server, clients, sessions, { turns: seconds * 10, perTurn: 1, everyMs: 100 });
      return { 'one event a turn': cpu, 'delay p50': p50, 'delay p99': p99 };
    },
  },

  tokens: {
    title: 'Token streams',
    describe: ({ sessions, seconds }) =>
      `${sessions} sessions, each with an async iterable of its own that gives 50 tokens a second, evenly spread, for ${seconds} s, or as fast as it goes: where fewer tokens a second were given, a core was used up, and the delay is that of a queue. Plain Node reads it with \`for await\`. The delay is that from the token's arrival in the iterable to the client; what makes the tokens (some 1 µs each) is in everybody's CPU.`,
    columns: {
      'a token': column('µs CPU / event', 'ratio'),
      given: column('tokens / s', 'none', 0),
      'delay p50': column('ms', 'none', 1),
      'delay p99': column('ms', 'none', 1),
    },
    full: { sessions: 1_000, seconds: 4 },
    quick: { sessions: 200, seconds: 1 },
    async measure(server, clients, { port, sessions, seconds }) {
      await clients.ask('open', { port, path: '/tokens', sessions, sampleEvery: sessions / SAMPLED_SOCKETS });
      await server.ask('emit', { perSecond: 50, seconds: 0.5 });
      let given;
      const { cpu, p50, p99 } = await cpuOf(server, clients, async () => {
        const { emitted, perSecond } = await server.ask('emit', { perSecond: 50, seconds });
        given = perSecond;
        return emitted;
      });
      return { 'a token': cpu, given, 'delay p50': p50, 'delay p99': p99 };
    },
  },

  idle: {
    title: 'Idle sessions',
    describe: ({ sessions, heartbeatMs, heartbeats }) =>
      `${sessions} sessions that get nothing but a heartbeat every ${heartbeatMs / 1_000} s, ${heartbeats} of them. Plain Node is a bare \`setInterval\` that writes to all.`,
    columns: { 'a heartbeat': column('µs CPU', 'ratio') },
    full: { sessions: 10_000, heartbeatMs: 15_000, heartbeats: 2 },
    quick: { sessions: 1_000, heartbeatMs: 1_000, heartbeats: 3 },
    async measure(server, clients, { port, sessions, heartbeatMs, heartbeats }) {
      await clients.ask('open', { port, path: '/stream', sessions });
      // what opening leaves to be done later is no heartbeat's
      await pause(1_000);
      await server.ask('collect');
      await clients.ask('forget');
      const before = await server.ask('cpuMs');
      await pause(heartbeats * heartbeatMs);
      const cpuMs = (await server.ask('cpuMs')) - before;
      const { reads } = await clients.ask('seen');
      // the window may cut off the first of a session, or its last
      const least = (heartbeats - 1) * sessions;
      if (reads < least) throw new Error(`${reads} heartbeats arrived; expected ${least} at least`);
      return { 'a heartbeat': (cpuMs * 1_000) / reads };
    },
  },

  churn: {
    title: 'Sessions that come and go',
    describe: ({ concurrency, seconds }) =>
      `${concurrency} clients that open a stream, read its first bytes, close it and begin anew, for ${seconds} s. Sessions per second are as many as the server and these clients manage on this machine.`,
    columns: { 'opened and closed': column('sessions / s', 'none', 0), 'a session': column('µs CPU', 'ratio', 0) },
    full: { concurrency: 50, seconds: 4 },
    quick: { concurrency: 50, seconds: 1 },
    async measure(server, clients, { port, concurrency, seconds }) {
      await clients.ask('churn', { port, path: '/stream', concurrency, seconds: Math.min(1, seconds / 2) });
      const before = await server.ask('cpuMs');
      const sessions = await clients.ask('churn', { port, path: '/stream', concurrency, seconds });
      const cpuMs = (await server.ask('cpuMs')) - before;
      return { 'opened and closed': sessions / seconds, 'a session': (cpuMs * 1_000) / sessions };
    },
  },

  ends: {
    title: 'Noticing that clients left',
    describe: ({ sessions }) =>
      `${sessions} clients close at once; the delay is that from the \`close\` of Node's socket until the application hears of it: \`onCompletion\`, or what the contender has in its place.`,
    columns: { 'delay p50': column('ms', 'none', 2), 'delay p99': column('ms', 'none', 2) },
    full: { sessions: 1_000 },
    quick: { sessions: 500 },
    async measure(server, clients, { port, sessions }) {
      await clients.ask('open', { port, path: '/watched', sessions });
      await clients.ask('close');
      const deadline = performance.now() + 10_000;
      let noticed = await server.ask('noticed');
      while (noticed.count < sessions && performance.now() < deadline) {
        await pause(50);
        noticed = await server.ask('noticed');
      }
      if (noticed.count !== sessions) throw new Error(`${noticed.count} of ${sessions} ends were noticed`);
      return { 'delay p50': noticed.p50, 'delay p99': noticed.p99 };
    },
  },
};
