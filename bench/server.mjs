// One contender in a process of its own, which measures what it costs. Driven over IPC by loads.mjs.
import { pause, quantile, serve, stamp } from './child.mjs';
import { contenders } from './contenders/index.mjs';
import { bytesByKind } from './heap.mjs';
import { profile } from './profile.mjs';
import { TokenFeed } from './token-feed.mjs';

const { name, heartbeatMs } = JSON.parse(process.argv[2]);

const feed = new TokenFeed();
const closedAt = new WeakMap();
const noticedMs = [];
const { server, publish } = await contenders[name].start({
  heartbeatMs,
  tokens: () => feed.open(),
  /** The contender has let go of what was streamed over `socket`. */
  ended: (socket) => {
    if (closedAt.has(socket)) noticedMs.push(performance.now() - closedAt.get(socket));
  },
});
// before Node's own listener, so that its 'close' is heard first
server.prependListener('connection', (socket) => socket.once('close', () => closedAt.set(socket, performance.now())));

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

/** About 100 bytes on the wire, the first of which say when it was published. */
const FILL = 'x'.repeat(75);
const eventOf = () => ({ data: `${String(stamp()).padStart(16, '0')} ${FILL}` });

const commands = {
  async memory() {
    for (let n = 0; n < 5; n++) {
      await pause(20);
      globalThis.gc();
    }
    const { heapUsed, rss } = process.memoryUsage();
    return { heapUsed, rss };
  },
  cpuMs,
  collect: () => globalThis.gc(),
  /** Publishes `turns` x `perTurn` events, a turn every `everyMs`. */
  async publish({ turns, perTurn, everyMs }) {
    for (let turn = 0; turn < turns; turn++) {
      const next = performance.now() + everyMs;
      for (let k = 0; k < perTurn; k++) publish(eventOf());
      await nextTurn();
      const wait = next - performance.now();
      if (wait > 0) await pause(wait);
    }
  },
  bytesByKind,
  profile: (load) => profile(() => commands.publish(load)),
  /** Emits `perSecond` tokens a second into every open source. */
  async emit({ perSecond, seconds }) {
    const begin = performance.now();
    const emitted = await feed.run(perSecond, seconds, () => `${String(stamp()).padStart(16, '0')} token`);
    return { emitted, perSecond: (emitted * 1_000) / (performance.now() - begin) };
  },
  noticed: () => ({ count: noticedMs.length, p50: quantile(noticedMs, 0.5), p99: quantile(noticedMs, 0.99) }),
};

serve(commands, { port: server.address().port });
