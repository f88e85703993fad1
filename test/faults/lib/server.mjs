// The application under fault, in a process of its own. Started by harness.mjs, which asks it over IPC what it has seen.
import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Body, Controller, Module, Query, RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { CurrentSession, ManagedSse, SessionManager, SseSessionModule } from 'nestjs-sse-session';
import { NEVER, Observable, concat, of } from 'rxjs';

const options = JSON.parse(process.argv[2]);
const user = new AsyncLocalStorage();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the rows ask for: the ends of sessions, in order, and what must never be. */
const seen = { created: 0, ends: [], twice: 0, handlerRuns: 0, disposed: 0, uncaught: [], warnings: [], foreignContexts: 0, late: [] };
const completions = new Map();

process.on('uncaughtException', (error) => seen.uncaught.push(String(error)));
process.on('unhandledRejection', (error) => seen.uncaught.push(String(error)));

function decorate(target, name, parameters, decorator) {
  parameters.forEach((parameter, index) => parameter(target, name, index));
  const descriptor = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, decorator(target, name, descriptor) ?? descriptor);
}

function complete(session, reason) {
  const count = (completions.get(session.id) ?? 0) + 1;
  completions.set(session.id, count);
  if (count > 1) seen.twice++;
  if (user.getStore() !== undefined && user.getStore() !== session.data.user) seen.foreignContexts++;
  seen.ends.push({
    id: session.id,
    reason,
    at: Date.now(),
    tag: session.key,
    eventsSent: session.eventsSent,
    error: String(session.error ?? ''),
  });
}

/** An Observable of `{ n, at }` every `ms`, which notes when it is let go of. */
const ticks = (ms, size = 0) =>
  new Observable((subscriber) => {
    let n = 0;
    const filler = 'x'.repeat(size);
    const timer = setInterval(() => subscriber.next({ n: n++, at: Date.now(), ...(size ? { filler } : {}) }), ms);
    return () => {
      clearInterval(timer);
      seen.disposed++;
    };
  });

/** Goes on whether somebody is there or not; one event in fifty is large. */
const numbered = (count, tag) =>
  new Observable((subscriber) => {
    let n = 0;
    const timer = setInterval(() => {
      for (let burst = 0; burst < 1 + (n % 3) && n < count; burst++, n++) {
        subscriber.next({ n, tag, filler: 'x'.repeat(n % 50 === 49 ? 100_000 : (n * 37) % 700) });
      }
      if (n >= count) subscriber.complete();
    }, 3);
    return () => clearInterval(timer);
  });

async function* endless(size) {
  const text = 'x'.repeat(size);
  for (;;) yield text;
}

const sources = {
  /** Heartbeats alone. */
  quiet: () => concat(of('begin'), NEVER),
  ticks: ({ ms = '100', size = '0' }) => ticks(Number(ms), Number(size)),
  endless: ({ size = '32768' }) => endless(Number(size)),
  numbered: ({ n, tag }) => numbered(Number(n), tag),
  marker: ({ user: name }) => of(`marker of ${name}`),
  done: ({ n = '1' }) => of(...Array.from({ length: Number(n) }, (_, i) => ({ n: i }))),
  /** The handler ignores the signal, and gives a source that is let go of unread. */
  async late({ ms = '0' }) {
    await pause(Number(ms));
    return { destroy: () => seen.disposed++, [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
  },
  stuck: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
  /** What is sent comes from outside: broadcast and push. */
  pushed: () => undefined,
};

class FaultController {
  run(query, session) {
    seen.handlerRuns++;
    session.data.user = query.user;
    if (query.hooks) misbehave(session, query.hooks);
    return query.user ? user.run(query.user, () => sources[query.source](query)) : sources[query.source](query);
  }

  async ask(body, query, session) {
    seen.handlerRuns++;
    session.data.body = body;
    return sources[query.source](query);
  }
}

function misbehave(session, how) {
  const hooks = {
    throw: () => {
      throw new Error('hook');
    },
    reject: () => Promise.reject(new Error('hook')),
    hang: () => new Promise(() => undefined),
  };
  for (const on of ['onOpen', 'onTimeout', 'onError', 'onCompletion']) session[on](hooks[how]);
}

const queryOf = (context) => context.switchToHttp().getRequest().query;
const route = {
  key: (context) => queryOf(context).tag,
  principal: (context) => (seen.created++, queryOf(context).user),
  onCompletion: complete,
  ...options.route,
  ...(options.expiresInMs ? { authorization: { expiresAt: () => Date.now() + options.expiresInMs } } : {}),
  ...(options.revalidate
    ? { authorization: { intervalMs: options.revalidate, revalidate: (session) => session.data.user !== 'mallory' } }
    : {}),
};
decorate(FaultController.prototype, 'run', [Query(), CurrentSession()], ManagedSse('stream', route));
decorate(
  FaultController.prototype,
  'ask',
  [Body(), Query(), CurrentSession()],
  ManagedSse('stream', { ...route, method: RequestMethod.POST }),
);
Controller()(FaultController);

class FaultModule {}
Module({ imports: [SseSessionModule.forRoot(options.module)], controllers: [FaultController] })(FaultModule);

const nothing = () => undefined;
const logger = { log: nothing, error: nothing, warn: (message) => void seen.warnings.push(String(message)) };

const adapter = options.adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(options.http2 ? { http2: true } : {});
const app = await NestFactory.create(FaultModule, adapter, { logger });
if (options.signals) app.enableShutdownHooks();
await app.listen(options.port ?? 0, options.host ?? '127.0.0.1');
const manager = app.get(SessionManager);

/** Bytes written of each session, by time, for the rows that need to know when something was written: sampled. */
const writes = new Map();
if (options.sampleWrites) {
  setInterval(() => {
    for (const session of manager) {
      const known = writes.get(session.id) ?? [];
      if (known.at(-1)?.bytes !== session.bytesSent) known.push({ at: Date.now(), bytes: session.bytesSent });
      writes.set(session.id, known);
    }
  }, 20).unref();
}

async function settledHeap() {
  for (let n = 0; n < 6; n++) {
    await pause(20);
    globalThis.gc?.();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapUsed, external, rss };
}

const commands = {
  seen: () => ({ ...seen, completed: completions.size, stats: manager.stats(), memory: process.memoryUsage() }),
  forget: () => {
    completions.clear();
    seen.ends = [];
  },
  heap: settledHeap,
  writes: () => Object.fromEntries(writes),
  /** What keeps an event loop going, by kind, without what is always there. */
  timers: () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout' || kind === 'Immediate').length,
  sockets: () => new Promise((resolve) => app.getHttpServer().getConnections((_error, count) => resolve(count))),
  broadcast: ({ event, times = 1 }) => {
    let taken = 0;
    for (let n = 0; n < times; n++) taken += manager.broadcast(event);
    return taken;
  },
  /** Pushes until so many bytes were pushed to each session, or it ends; gives the largest of what waited. */
  flood: async ({ bytes, size = 16_384 }) => {
    const text = 'x'.repeat(size);
    let most = 0;
    let mostMemory = 0;
    globalThis.gc();
    const before = process.memoryUsage();
    for (let sent = 0; sent < bytes; sent += size) {
      for (const session of [...manager]) session.send(text);
      // what was written in a turn is with the kernel after it
      await pause(0);
      most = Math.max(most, manager.stats().bytes.pending);
      if (sent % (size * 16) !== 0) continue;
      // what is reachable, without the garbage
      globalThis.gc();
      const { heapUsed, external } = process.memoryUsage();
      mostMemory = Math.max(mostMemory, heapUsed + external - before.heapUsed - before.external);
    }
    return { most, mostMemory };
  },
  block: ({ ms }) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  /** The wall clock of this process, as a step of the machine's shows it. */
  stepClock: ({ ms }) => {
    const now = Date.now;
    Date.now = () => now.call(Date) + ms;
  },
  /** What looks at the kernel's table cost: CPU of the process, and the longest gap of its event loop. */
  looks: async ({ count }) => {
    const { readTcpTables } = await import(new URL('../../../dist/esm/liveness/tcp-table.js', import.meta.url));
    await readTcpTables('silent');
    globalThis.gc();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const before = process.cpuUsage();
    const startedAt = performance.now();
    delay.enable();
    for (let n = 0; n < count; n++) await readTcpTables('silent');
    delay.disable();
    const { user: userTime, system } = process.cpuUsage(before);
    return {
      cpuMs: (userTime + system) / 1_000 / count,
      tookMs: (performance.now() - startedAt) / count,
      gapMs: delay.max / 1e6,
      p99Ms: delay.percentile(99) / 1e6,
    };
  },
  cleanup: () => manager.cleanup(),
  cancelAll: async (filter) => manager.cancelAll(filter),
  close: async () => {
    const before = performance.now();
    await app.close();
    return performance.now() - before;
  },
};

process.on('message', async ({ id, command, argument }) => {
  try {
    process.send({ id, result: await commands[command](argument) });
  } catch (error) {
    process.send({ id, error: String(error) });
  }
});
// nobody is left to ask anything
process.on('disconnect', () => process.exit());
process.send({ ready: true, port: app.getHttpServer().address().port });
