// nginx and HAProxy between the clients and the server.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { createGunzip, constants as zlib } from 'node:zlib';
import { isClean, ms, pause, percentile, seconds, until } from '../lib/harness.mjs';
import { makeNetwork } from '../lib/netns.mjs';
import { freePort, startHaproxy, startNginx } from '../lib/proxies.mjs';

const FAR_CLIENTS = fileURLToPath(new URL('../lib/far-clients.mjs', import.meta.url));
const EVENT_SOURCES = fileURLToPath(new URL('../lib/event-source-clients.mjs', import.meta.url));
const CLIENTS = 20;
const HEARTBEAT_MS = 1_000;
/** Other processes take part in this time, as in the rows without a proxy. */
const AT_ONCE_MS = 500;

const range = (values, unit = ms) => (values.length === 0 ? 'never' : `${unit(Math.min(...values))} to ${unit(Math.max(...values))}`);

/** Clients leave through a proxy, by FIN and RST in turn; `withinMs` says how long their sessions may outlive them. */
async function leave(stage, startProxy, withinMs) {
  const server = await stage.server({ module: { heartbeat: { intervalMs: HEARTBEAT_MS } } });
  const { port } = await startProxy(stage, { ports: [server.port] });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => stage.client(port, `/stream?source=quiet&tag=${n}`)));
  await Promise.all(clients.map((client) => client.waitFor('data:')));
  const leftAt = [];
  for (const [n, { socket }] of clients.entries()) {
    leftAt[n] = Date.now();
    if (n % 2 === 0) socket.end().destroy();
    else socket.resetAndDestroy();
    // over the whole of the heartbeat's interval
    await pause(HEARTBEAT_MS / CLIENTS);
  }
  const seen = await server.settled();
  const right = seen.ends.filter(({ reason }) => reason === 'client-disconnect');
  const took = [0, 1].map((way) => right.filter(({ tag }) => tag % 2 === way).map(({ tag, at }) => at - leftAt[tag]));
  return {
    figure: `${right.length} of ${CLIENTS} ended, ${range(took[0])} after a FIN, ${range(took[1])} after an RST`,
    ok: right.length === CLIENTS && Math.max(...took.flat()) < withinMs && isClean(seen),
  };
}

const TIMEOUT_MS = 3_000;
const QUIET_MS = 10_000;
const QUIET_CLIENTS = 5;

/** A server with or without heartbeats behind a proxy that waits for 3 s, and clients that have their streams. */
async function quietStreams(stage, startProxy, heartbeat) {
  const server = await stage.server({ module: { heartbeat } });
  const { port } = await startProxy(stage, { ports: [server.port], readTimeout: `${TIMEOUT_MS / 1_000}s` });
  const clients = await Promise.all(Array.from({ length: QUIET_CLIENTS }, () => stage.client(port, '/stream?source=quiet')));
  await Promise.all(clients.map((client) => client.waitFor('data:')));
  return { server, clients, openedAt: Date.now() };
}

async function keepQuiet(stage, startProxy) {
  const [kept, control] = await Promise.all([
    quietStreams(stage, startProxy, { intervalMs: HEARTBEAT_MS }),
    quietStreams(stage, startProxy, false),
  ]);
  await pause(QUIET_MS);
  const live = kept.clients.filter(({ closedAt }) => closedAt === undefined).length;
  await kept.server.ask('broadcast', { event: { data: 'late' } });
  const told = (await Promise.all(kept.clients.map((client) => client.waitFor('data: late', 2_000)))).filter(Boolean).length;
  const cut = control.clients.filter(({ closedAt }) => closedAt !== undefined).map(({ closedAt }) => closedAt - control.openedAt);
  const seen = await control.server.settled();
  return {
    figure:
      `${live} of ${QUIET_CLIENTS} live on, ${told} get the event; ` +
      `without heartbeats ${cut.length} of ${QUIET_CLIENTS} are cut${cut.length ? ` after ${range(cut, seconds)}` : ''}`,
    ok: live === QUIET_CLIENTS && told === QUIET_CLIENTS && cut.length === QUIET_CLIENTS && isClean(seen),
  };
}

/** A client that would take gzip; notes how late each event came. */
function timed(stage, { port }) {
  const client = { delays: [], encoding: undefined };
  const headers = { accept: 'text/event-stream', 'accept-encoding': 'gzip' };
  const sent = request({ port, host: '127.0.0.1', path: '/stream?source=ticks&ms=100', headers, agent: false }, (response) => {
    client.encoding = response.headers['content-encoding'];
    const text = client.encoding ? response.pipe(createGunzip({ flush: zlib.Z_SYNC_FLUSH })) : response;
    let rest = '';
    text.setEncoding('utf8').on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      for (const line of lines) if (line.startsWith('data: ')) client.delays.push(Date.now() - JSON.parse(line.slice(6)).at);
    });
    for (const stream of [response, text]) stream.on('error', () => undefined);
  });
  sent.on('error', () => undefined).end();
  stage.onEnd(() => sent.destroy());
  return client;
}

const PROXIES = {
  nginx: (stage, ports) => startNginx(stage, { ports }),
  'nginx with gzip': (stage, ports) => startNginx(stage, { ports, http: 'gzip on; gzip_types text/event-stream;' }),
  HAProxy: (stage, ports) => startHaproxy(stage, { ports }),
  'HAProxy with compression': (stage, ports) =>
    startHaproxy(stage, { ports, frontend: 'compression algo gzip\n  compression type text/event-stream' }),
};

async function notHeldBack(stage) {
  const server = await stage.server({});
  const ways = { direct: server };
  for (const [name, startProxy] of Object.entries(PROXIES)) ways[name] = await startProxy(stage, [server.port]);
  const clients = Object.entries(ways).map(([name, way]) => ({ name, all: Array.from({ length: 5 }, () => timed(stage, way)) }));
  const all = clients.flatMap((way) => way.all);
  await until(() => all.every(({ delays }) => delays.length > 0));
  // what is held back would come in heaps, of which the events since then would not be part
  await pause(500);
  for (const client of all) client.delays = [];
  await pause(5_000);
  const results = clients.map(({ name, all: some }) => ({
    name,
    events: Math.min(...some.map(({ delays }) => delays.length)),
    p99: percentile(
      some.flatMap(({ delays }) => delays),
      0.99,
    ),
    encoding: some[0].encoding,
  }));
  const [direct, ...proxied] = results;
  return {
    figure: `p99 ${results.map(({ name, p99, encoding }) => `${ms(p99)} ${name}${encoding ? ` (${encoding})` : ''}`).join(', ')}`,
    // a machine that does other things too is late by itself, without a proxy too
    ok: proxied.every(({ events, p99 }) => events >= 30 && p99 < 100 + direct.p99),
  };
}

const DEAD_PEER_MS = 6_000;

async function vanishingNginx(stage) {
  const network = makeNetwork(stage);
  const server = await stage.server({
    host: network.hostAddress,
    sampleWrites: true,
    module: { heartbeat: { intervalMs: 1_500 }, deadPeer: { timeoutMs: DEAD_PEER_MS } },
  });
  const nginx = await startNginx(stage, { network, ports: [server.port], appHost: network.hostAddress });
  const url = `http://${nginx.host}:${nginx.port}/stream?source=quiet`;
  const clients = network.spawn(process.execPath, [FAR_CLIENTS, url, String(CLIENTS), 'http1']);
  let output = '';
  clients.stdout.on('data', (data) => (output += data));
  if (!(await until(() => output.split('open').length > CLIENTS, 15_000))) throw new Error('the clients did not get their streams');
  // in the midst of the probe's rhythm, so that nothing is in step
  await pause(1_700);
  const vanishedAt = Date.now();
  network.vanish();
  const seen = await server.settled(DEAD_PEER_MS + 8_000);
  const writes = await server.ask('writes');
  const took = seen.ends.map(({ id, at }) => at - (writes[id]?.find((write) => write.at > vanishedAt)?.at ?? at));
  const dead = seen.ends.filter(({ reason }) => reason === 'dead-peer').length;
  // the time of a write is sampled every 20 ms
  const inTime = took.filter((time) => time >= DEAD_PEER_MS - 25 && time <= DEAD_PEER_MS + 2_000).length;
  return {
    figure: `${dead} of ${CLIENTS} ended as dead-peer${took.length ? `, after ${range(took, seconds)}` : ''}`,
    ok: dead === CLIENTS && inTime === CLIENTS && isClean(seen),
  };
}

const EVENT_SOURCE_COUNT = 1_000;
const RETURN_MS = 15_000;
const MOST_CONNECTS = 500;
const AWAY_MS = 2_000;

/** EventSource objects in two processes, and what these report. */
function startEventSources(stage, url) {
  const reports = [];
  let opens = [];
  for (let n = 0; n < 2; n++) {
    const child = fork(EVENT_SOURCES, [url, String(EVENT_SOURCE_COUNT / 2), '125'], { execArgv: [] });
    stage.onEnd(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    reports[n] = { open: 0, closed: 0, at: 0 };
    child.on('message', (report) => {
      reports[n] = report;
      opens.push(...report.opens);
    });
  }
  const sum = (key) => reports.reduce((total, report) => total + report[key], 0);
  return {
    open: () => sum('open'),
    closed: () => sum('closed'),
    /** Whether both have reported since then. */
    areAsOf: (at) => reports.every((report) => report.at > at),
    opens: () => opens,
    forget: () => void (opens = []),
  };
}

/** The most that happened in any second. */
function busiestSecond(times) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let last = 0, first = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] >= 1_000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

async function rollingDeploy(stage) {
  const limit = process.report.getReport().userLimits?.open_files?.hard;
  if (Number(limit) < 4_096) throw new Error(`nginx needs 2,100 open files here, and 'ulimit -Hn' is ${limit}: raise it to 4096`);
  const startServer = (port) =>
    stage.server({ signals: true, port, module: { shutdown: { retryJitterMs: 5_000, timeoutMs: 8_000 }, retryMs: 1_000 } });
  const servers = [];
  for (let n = 0; n < 3; n++) servers.push(await startServer(await freePort()));
  // README's max_fails=0 decides here. With nginx's default of 1, a server that was away gets a single request per fail_timeout until
  // one of its requests is over, which a stream never is: the others fill up, and when they are replaced too, nginx answers 502
  const nginx = await startNginx(stage, {
    ports: servers.map(({ port }) => port),
    server: 'proxy_next_upstream error timeout http_503;',
  });
  const sources = startEventSources(stage, `http://127.0.0.1:${nginx.port}/stream?source=quiet`);
  const uncaught = [];
  const areAllBack = async () => {
    const all = await Promise.all(servers.map((server) => server.ask('seen')));
    const open = all.reduce((total, { stats }) => total + stats.sessions.open, 0);
    return open === EVENT_SOURCE_COUNT && sources.open() === EVENT_SOURCE_COUNT;
  };
  if (!(await until(areAllBack, 30_000))) throw new Error(`only ${sources.open()} of the EventSource objects opened`);
  sources.forget();
  const took = [];
  for (const [n, server] of servers.entries()) {
    uncaught.push(...(await server.ask('seen')).uncaught);
    const before = performance.now();
    server.child.kill('SIGTERM');
    await server.exited;
    // so that clients come back while it is away
    await pause(AWAY_MS);
    servers[n] = await startServer(server.port);
    const startedAt = Date.now();
    await until(() => sources.areAsOf(startedAt));
    await until(areAllBack, RETURN_MS + 5_000);
    took.push(performance.now() - before);
    await pause(500);
  }
  for (const server of servers) uncaught.push(...(await server.ask('seen')).uncaught);
  const most = busiestSecond(sources.opens());
  return {
    figure:
      `${sources.closed()} closed for good, ${sources.open()} of ${EVENT_SOURCE_COUNT.toLocaleString('en')} open; ` +
      `all back ${took.map(seconds).join(', ')} after each SIGTERM; at most ${most} connects in a second`,
    ok:
      sources.closed() === 0 &&
      sources.open() === EVENT_SOURCE_COUNT &&
      Math.max(...took) < RETURN_MS &&
      most <= MOST_CONNECTS &&
      uncaught.length === 0,
  };
}

const left = `${CLIENTS} clients behind a proxy leave by FIN and RST, the configuration being the README's`;
const noticed = 'noticed at once, `onCompletion` once';
const quiet = `a stream without events for ${QUIET_MS / 1_000} s, with a heartbeat of ${HEARTBEAT_MS / 1_000} s`;
const kept = 'it lives, and then delivers an event; without heartbeats it is cut';

export const rows = [
  {
    name: 'client leaves behind nginx',
    injected: left,
    promise: noticed,
    run: (stage) => leave(stage, startNginx, AT_ONCE_MS),
  },
  {
    name: 'client leaves behind HAProxy',
    injected: left,
    promise: noticed,
    run: (stage) => leave(stage, startHaproxy, AT_ONCE_MS),
  },
  {
    name: 'client leaves behind HAProxy without abortonclose',
    injected: `the same without \`option abortonclose\`; a heartbeat every ${HEARTBEAT_MS / 1_000} s`,
    promise: 'noticed at the second heartbeat at the latest, `onCompletion` once',
    // HAProxy does not look for a FIN: the client answers the first heartbeat with an RST, and only the second finds the connection gone
    run: (stage) => {
      const startProxy = (on, options) => startHaproxy(on, { ...options, without: 'option abortonclose' });
      return leave(stage, startProxy, 2 * HEARTBEAT_MS + AT_ONCE_MS);
    },
  },
  {
    name: "quiet stream through nginx's read timeout",
    injected: `${quiet}, and a \`proxy_read_timeout\` of ${TIMEOUT_MS / 1_000} s`,
    promise: kept,
    run: (stage) => keepQuiet(stage, startNginx),
  },
  {
    name: "quiet stream through HAProxy's timeouts",
    injected: `${quiet}, and a \`timeout client\` and \`timeout server\` of ${TIMEOUT_MS / 1_000} s`,
    promise: kept,
    run: (stage) => keepQuiet(stage, startHaproxy),
  },
  {
    name: 'nothing held back by the proxy',
    injected: 'an event every 100 ms through nginx and HAProxy, without and with their compression, to clients that take gzip',
    promise: 'p99 delay below 100 ms (beyond that of clients without a proxy)',
    run: notHeldBack,
  },
  {
    name: 'server behind nginx, nginx vanishes',
    injected: `nginx, with ${CLIENTS} clients, in a network namespace whose route becomes a blackhole`,
    promise: `ended as \`dead-peer\` ${DEAD_PEER_MS / 1_000} to ${DEAD_PEER_MS / 1_000 + 2} s after the first byte that was not acknowledged`,
    run: vanishingNginx,
  },
  {
    name: 'rolling deploy',
    injected: '1,000 `EventSource` objects on 3 processes behind nginx; each process gets SIGTERM in turn and is started anew',
    promise: `none is closed for good, all are back within ${RETURN_MS / 1_000} s of each SIGTERM, at most ${MOST_CONNECTS} connects in any second`,
    run: rollingDeploy,
  },
];
