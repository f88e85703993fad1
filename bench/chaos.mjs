// Cuts thousands of sessions at random and demands that nothing is left of them. Prints a table in markdown; exits with 1 when a figure
// is not as wanted. Runs against the built package (npm run figures), the clients and the upstream in a process of their own.
import 'reflect-metadata';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { Controller, Module, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { CurrentSession, ManagedSse, SessionManager, SseSessionModule } from 'nestjs-sse-session';
import OpenAI from 'openai';
import { Observable } from 'rxjs';

const SESSIONS = 2_000;
const CONCURRENCY = 25;
const ROUNDS = 3;
/** Rounds before the first that is measured: the heap of a fresh process grows by its compiled code. */
const WARM_UP_ROUNDS = 2;
/** More per session and round would be something that stays: the smallest session has kilobytes. */
const MAX_SLOPE_BYTES = 64;
/** A machine that does other things too is late by itself (see the delays under the table): times fail only beyond this many times of what is wanted. */
const PATIENCE = 5;

if (typeof globalThis.gc !== 'function') {
  console.error('chaos: needs node --expose-gc');
  process.exit(1);
}

/** Of all sessions of one adapter. */
class Record {
  created = 0;
  /** By the session's id, in the round that runs. */
  completions = new Map();
  completed = 0;
  twice = 0;
  reasons = {};
  /** Milliseconds from the 'close' of Node's own response to onCompletion. */
  noticed = [];
  sessions = [];
  faults = [];
  closedAt = new WeakMap();
}

let record = new Record();
const delay = monitorEventLoopDelay();
delay.enable();
process.on('uncaughtException', (error) => record.faults.push(error));
process.on('unhandledRejection', (error) => record.faults.push(error));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const someMs = (max) => Math.random() * max;

/** What the handler returns, by the `kind` that the client asked for. */
const sources = {
  openai: ({ openai, query }) =>
    openai.chat.completions.create({ model: 'test', messages: [], stream: true, user: query.id }, { headers: { 'x-run': query.id } }),
  async fetch({ upstreamUrl, query, session }) {
    const headers = { 'x-run': query.id };
    const { body } = await fetch(`${upstreamUrl}/chat/completions`, { method: 'POST', body: '{}', headers, signal: session.signal });
    return body;
  },
  observable: () =>
    new Observable((subscriber) => {
      const timer = setInterval(() => subscriber.next({ now: Date.now() }), 20);
      return () => clearInterval(timer);
    }),
  async *generator({ session }) {
    for (let n = 0; !session.signal.aborted; n++) {
      yield { data: n, id: n };
      await pause(20);
    }
  },
};

function decorate(target, name, parameters, decorator) {
  parameters.forEach((parameter, index) => parameter(target, name, index));
  const descriptor = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, decorator(target, name, descriptor) ?? descriptor);
}

function chaosModule(upstreamUrl) {
  const openai = new OpenAI({ apiKey: 'none', baseURL: upstreamUrl, maxRetries: 0 });

  class ChaosController {
    async stream(session, request) {
      const { query, raw = request } = request;
      record.closedAt.set(session, responseOf(raw).closedAt);
      if (query.fate === 'cancelled') setTimeout(() => manager().cancel(session.id), someMs(60));
      if (query.fate === 'complete') setTimeout(() => session.complete(), someMs(60));
      await pause(someMs(25));
      if (query.fate === 'error') throw new Error('as planned');
      return sources[query.kind]({ session, query, openai, upstreamUrl });
    }
  }
  decorate(
    ChaosController.prototype,
    'stream',
    [CurrentSession(), Req()],
    ManagedSse('stream', {
      // asked once for every request that becomes a session
      principal: () => void record.created++,
      onCompletion: (session, reason) => complete(session, reason),
    }),
  );
  Controller()(ChaosController);

  class ChaosModule {}
  Module({ imports: [SseSessionModule.forRoot()], controllers: [ChaosController] })(ChaosModule);
  return ChaosModule;
}

let manager;
const responses = new WeakMap();
const responseOf = (request) => responses.get(request);

function complete(session, reason) {
  record.completions.set(session.id, (record.completions.get(session.id) ?? 0) + 1);
  record.reasons[reason] = (record.reasons[reason] ?? 0) + 1;
  record.sessions.push(new WeakRef(session));
  const closed = record.closedAt.get(session);
  // not closed yet: the library has heard of it by the socket's 'close', before Node's response says so
  if (reason === 'client-disconnect' && closed) record.noticed.push(performance.now() - (closed() ?? performance.now()));
}

/** Notes when Node's own response closes: this listener is there before any of the library's. */
function watchResponse(request, response, next) {
  let at;
  response.once('close', () => (at = performance.now()));
  responses.set(request, { closedAt: () => at });
  next();
}

async function heapAfterGc() {
  // in turns of their own: what a WeakRef was asked for stays alive until the end of the turn
  for (let n = 0; n < 6; n++) {
    await pause(20);
    globalThis.gc();
  }
  return process.memoryUsage().heapUsed;
}

async function runRound(clients, port) {
  delay.reset();
  clients.send({ round: { port, sessions: SESSIONS, concurrency: CONCURRENCY } });
  const [result] = await once(clients, 'message');
  // what was in a handler when its client left, and agents that close their sockets
  for (let waited = 0; manager().size > 0 && waited < 5_000; waited += 50) await pause(50);
  await pause(300);
  return result;
}

async function measure(name, adapter) {
  const clients = fork(fileURLToPath(new URL('./chaos-clients.mjs', import.meta.url)));
  const [{ upstreamUrl }] = await once(clients, 'message');
  const app = await NestFactory.create(chaosModule(upstreamUrl), adapter, { logger: false });
  manager = () => app.get(SessionManager);
  app.use(watchResponse);
  await app.listen(0, '127.0.0.1');
  record = new Record();
  const { port } = app.getHttpServer().address();

  for (let n = 0; n < WARM_UP_ROUNDS; n++) await runRound(clients, port);
  record = new Record();
  const heaps = [await heapAfterGc()];
  const upstream = [];
  const delays = { server: 0, clients: 0 };
  let upstreamOpen = 0;
  for (let n = 0; n < ROUNDS; n++) {
    const result = await runRound(clients, port);
    upstream.push(...result.upstreamClosed);
    upstreamOpen = result.upstreamOpen;
    delays.server = Math.max(delays.server, delay.percentile(99) / 1e6);
    delays.clients = Math.max(delays.clients, result.delayMs);
    await heapAfterGc();
    // what the record keeps of each session would be a slope of the bench's own
    record.sessions = record.sessions.filter((session) => session.deref());
    record.twice += [...record.completions.values()].filter((count) => count !== 1).length;
    record.completed += record.completions.size;
    record.completions.clear();
    heaps.push(await heapAfterGc());
  }
  const sockets = await new Promise((resolve) => app.getHttpServer().getConnections((_error, count) => resolve(count)));
  const stats = manager().stats();
  const result = {
    name,
    sessions: record.created,
    reasons: record.reasons,
    completions: record.completed,
    twice: record.twice,
    left: stats.sessions.connecting + stats.sessions.open + stats.sessions.closing,
    pending: stats.bytes.pending,
    sockets,
    upstreamOpen,
    reachable: record.sessions.filter((session) => session.deref()).length,
    slope: (heaps.at(-1) - heaps[0]) / (SESSIONS * ROUNDS),
    heaps,
    noticed: record.noticed,
    upstream,
    delays,
    faults: record.faults,
  };
  await app.close();
  clients.send({ stop: true });
  await once(clients, 'exit');
  return result;
}

function percentile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? NaN;
}

const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

const ROWS = [
  ['sessions', ({ sessions }) => sessions, ({ sessions }) => sessions > SESSIONS],
  [
    'onCompletion / sessions',
    ({ completions, sessions }) => (completions / sessions).toFixed(3),
    (r) => r.completions === r.sessions,
    '1.000',
  ],
  ['onCompletion other than once', ({ twice }) => twice, ({ twice }) => twice === 0, '0'],
  ['sessions left', ({ left }) => left, ({ left }) => left === 0, '0'],
  ['sessions still reachable', ({ reachable }) => reachable, ({ reachable }) => reachable === 0, '0'],
  ['bytes pending', ({ pending }) => pending, ({ pending }) => pending === 0, '0'],
  ['sockets left at the server', ({ sockets }) => sockets, ({ sockets }) => sockets === 0, '0'],
  ['streams left at the upstream', ({ upstreamOpen }) => upstreamOpen, ({ upstreamOpen }) => upstreamOpen === 0, '0'],
  ['uncaught errors', ({ faults }) => faults.length, ({ faults }) => faults.length === 0, '0'],
  [
    `heap per session over ${ROUNDS} rounds`,
    ({ slope }) => `${slope.toFixed(0)} B`,
    ({ slope }) => slope < MAX_SLOPE_BYTES,
    `< ${MAX_SLOPE_BYTES} B`,
  ],
  ['client gone → onCompletion, p50', ({ noticed }) => ms(percentile(noticed, 0.5)), () => true],
  [
    'client gone → onCompletion, p99',
    ({ noticed }) => ms(percentile(noticed, 0.99)),
    (r) => percentile(r.noticed, 0.99) < 20 * PATIENCE,
    '< 20 ms',
  ],
  ['client leaves → upstream closed, p50', ({ upstream }) => ms(percentile(upstream, 0.5)), () => true],
  [
    'client leaves → upstream closed, p99',
    ({ upstream }) => ms(percentile(upstream, 0.99)),
    (r) => percentile(r.upstream, 0.99) < 100 * PATIENCE,
    '< 100 ms',
  ],
];

const results = [await measure('Express', new ExpressAdapter()), await measure('Fastify', new FastifyAdapter())];

console.log(
  `Node ${process.version}, Nest 12: ${SESSIONS} sessions a round, ${CONCURRENCY} at once, ${ROUNDS} rounds after ${WARM_UP_ROUNDS}.\n`,
);
console.log(`| | ${results.map(({ name }) => name).join(' | ')} | wanted |`);
console.log(`| --- | ${results.map(() => '---').join(' | ')} | --- |`);
const failures = [];
for (const [what, show, isRight, wanted = ''] of ROWS) {
  console.log(`| ${what} | ${results.map(show).join(' | ')} | ${wanted} |`);
  for (const result of results) if (!isRight(result)) failures.push(`${result.name}: ${what} is ${show(result)}, wanted ${wanted}`);
}
for (const { name, reasons, heaps, noticed, upstream, delays } of results) {
  const ends = Object.entries(reasons).map(([reason, count]) => `${reason} ${count}`);
  const megabytes = heaps.map((bytes) => (bytes / 1e6).toFixed(2));
  const loops = `event loops delayed by ${ms(delays.server)} (server) and ${ms(delays.clients)} (clients) at p99`;
  const measured = `${noticed.length} and ${upstream.length} times measured`;
  console.log(`\n${name}: ${ends.join(', ')}; ${measured}; heap ${megabytes.join(', ')} MB; ${loops}.`);
}
for (const { faults } of results) faults.slice(0, 3).forEach((fault) => console.error(fault));
for (const failure of failures) console.error(`chaos: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);
