// One contender in a process of its own, which measures what it costs: node --expose-gc server.mjs <name>. Driven over IPC by bench.mjs.
import { contenders } from './contenders/index.mjs';

const { server, publish } = await contenders[process.argv[2]]();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

async function heap() {
  for (let n = 0; n < 5; n++) {
    await pause(20);
    globalThis.gc();
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { heapUsed, rss };
}

/** Some 100 bytes on the wire, numbered. */
const eventOf = (n) => ({ data: `${String(n).padStart(8, '0')} ${'x'.repeat(83)}` });

const commands = {
  heap,
  cpu: () => cpuMs(),
  /** Publishes `turns` x `perTurn` events, a turn every `everyMs`, and says what CPU that took until all was written. */
  async publish({ turns, perTurn, everyMs }) {
    globalThis.gc();
    const before = cpuMs();
    let n = 0;
    for (let turn = 0; turn < turns; turn++) {
      const next = performance.now() + everyMs;
      for (let k = 0; k < perTurn; k++) publish(eventOf(n++));
      await nextTurn();
      const wait = next - performance.now();
      if (wait > 0) await pause(wait);
    }
    await pause(100);
    return { cpuMs: cpuMs() - before };
  },
};

process.on('message', async ({ command, argument }) => process.send({ result: await commands[command](argument) }));
process.on('disconnect', () => process.exit());
process.send({ port: server.address().port });
