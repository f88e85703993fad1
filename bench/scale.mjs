// What a session costs when there are many: CPU of its heartbeat, of the cleanup job's look at it, and of its timeout, which must not grow with
// their number. No sockets: the library alone, on a clock that is moved by hand. node bench/scale.mjs [sizes...]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { resolveModuleOptions, resolveRouteOptions } from '../dist/esm/options/resolve.js';
import { Cleanup } from '../dist/esm/session/cleanup.js';
import { ManagedSession } from '../dist/esm/session/managed-session.js';
import { SessionRegistry } from '../dist/esm/session/session-registry.js';
import { FakeClock, fakeRandom } from '../dist/esm/testing/fake-clock.js';

const FILE = fileURLToPath(import.meta.url);
const SLOT_MS = 50;
/** What 1,000 sessions cost once is noise. */
const COUNTED_SESSIONS = 100_000;
const MIN_ROUNDS = 5;
const WARM_UP = { sessions: 1_000, rounds: 30 };

/** Takes everything at once and keeps nothing of it. */
class CountingResponse {
  writes = 0;
  writableLength = 0;
  isTcp = false;
  isGone = false;
  isAnswered = false;
  remotePort = undefined;
  endpoints = undefined;
  acknowledgedBytes() {}
  open() {}
  destroy() {}
  release() {}

  listen(listener) {
    this.listener = listener;
  }

  write() {
    this.writes++;
    return true;
  }

  end() {
    queueMicrotask(() => this.listener.onClose(true, undefined));
  }
}

/**
 * CPU that `work` takes, in microseconds. What was garbage before is not its own; but a full collection would cost more than it tells: V8 throws
 * the optimised code away whose weakly held objects have died, and few sessions would pay for its return with many times their own cost.
 */
async function cpuOf(work) {
  globalThis.gc({ type: 'minor' });
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Slot by slot, as the wheel's timer would wake; what a slot has ended is over before the next, as it is with real timers. */
async function pass(ms) {
  for (const end = clock.now() + ms; clock.now() < end; await undefined) clock.advance(Math.min(SLOT_MS, end - clock.now()));
}

function expectAll(what, actual, expected) {
  if (actual !== expected) throw new Error(`${what}: ${actual} instead of ${expected}`);
}

const clock = new FakeClock();
const moduleOptions = resolveModuleOptions({ deadPeer: false });
/** Without jitter: sessions end in the order in which they began, evenly. */
const registry = new SessionRegistry(moduleOptions, clock, fakeRandom(), console);
const cleanup = new Cleanup(registry);
const ended = {};
const hooks = { onCompletion: (_, reason) => void (ended[reason] = (ended[reason] ?? 0) + 1) };

const route = 'GET /scale';
const identity = { route, hooks, options: resolveRouteOptions(moduleOptions, {}, route) };
const { heartbeat, timeoutMs } = identity.options;

/** The life of so many sessions, from the first request to the last timeout: CPU in microseconds. */
async function live(sessions) {
  const responses = [];
  ended.timeout = 0;
  const begin = clock.now();
  // spread over one interval, so that the slots are evenly filled; at whole milliseconds, as timers have no others
  for (let n = 1; n <= sessions; n++) {
    const response = new CountingResponse();
    const session = new ManagedSession(registry, identity, response, () => undefined);
    session.start();
    session.open();
    responses.push(response);
    await pass(begin + Math.floor((n * heartbeat.intervalMs) / sessions) - clock.now());
  }
  // the first heartbeat comes up to a slot late, the others then on the dot
  await pass(heartbeat.intervalMs + SLOT_MS);
  for (const response of responses) response.writes = 0;
  const heartbeatUs = await cpuOf(() => pass(heartbeat.intervalMs));
  expectAll('Heartbeats', responses.filter(({ writes }) => writes === 1).length, sessions);

  const cleanupUs = await cpuOf(() => cleanup.run());
  expectAll('Examined by the cleanup', cleanup.last.examined, sessions);
  expectAll('Ended by the cleanup', Object.keys(cleanup.last.ended).length, 0);

  // all have their heartbeat just before, so that there is none among the timeouts
  clock.block(begin + timeoutMs - 4 * SLOT_MS - clock.now());
  await pass(2 * SLOT_MS);
  expectAll('Sessions before their timeout', registry.size, sessions);
  const timeoutUs = await cpuOf(() => pass(heartbeat.intervalMs + 4 * SLOT_MS));
  expectAll('Timeouts', ended.timeout, sessions);
  expectAll('Sessions after their timeout', registry.size, 0);
  return { heartbeatUs, cleanupUs, timeoutUs };
}

async function measure(sessions) {
  for (let round = 0; round < WARM_UP.rounds; round++) await live(WARM_UP.sessions);
  globalThis.gc();
  await live(WARM_UP.sessions);
  const total = { heartbeatUs: 0, cleanupUs: 0, timeoutUs: 0 };
  const rounds = Math.max(MIN_ROUNDS, Math.ceil(COUNTED_SESSIONS / sessions));
  for (let round = 0; round < rounds; round++) {
    for (const [figure, us] of Object.entries(await live(sessions))) total[figure] += us / (rounds * sessions);
  }
  return { sessions, ...total };
}

/** CPU per session in microseconds, for each number of sessions; each in a process of its own. */
export async function measureScale({ sizes = [1_000, 10_000, 100_000] } = {}) {
  const figures = [];
  for (const sessions of sizes) {
    const child = fork(FILE, ['--measure', String(sessions)], { execArgv: ['--expose-gc'] });
    const exit = once(child, 'exit').then(([code]) =>
      Promise.reject(new Error(`${sessions} sessions: the measurement ended with ${code}`)),
    );
    const [result] = await Promise.race([once(child, 'message'), exit]);
    figures.push(result);
    await exit.catch(() => undefined);
  }
  return figures;
}

if (process.argv[2] === '--measure') {
  process.send(await measure(Number(process.argv[3])), () => process.disconnect());
} else if (process.argv[1] === FILE) {
  const sizes = process.argv.slice(2).map(Number);
  const figures = await measureScale(sizes.length > 0 ? { sizes } : {});
  console.log('| sessions | heartbeat | cleanup | timeout |\n| ---: | ---: | ---: | ---: |');
  for (const { sessions, heartbeatUs, cleanupUs, timeoutUs } of figures) {
    console.log(
      `| ${sessions.toLocaleString('en')} | ${[heartbeatUs, cleanupUs, timeoutUs].map((us) => `${us.toFixed(2)} µs`).join(' | ')} |`,
    );
  }
}
