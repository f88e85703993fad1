// What a managed session costs, held against plain Node and against peers in the same run: npm run bench [-- --quick]. Writes bench/RESULTS.md.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { contenders } from './contenders/index.mjs';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, only: { type: 'string' } } });

const SESSIONS = flags.quick ? 500 : 2_000;
const ROUNDS = flags.quick ? 1 : 3;
const PLAIN = 'plain Node';

/** What is measured of each contender in one round; `unit` is what the figure counts. */
const LOADS = [
  { name: 'fan-out, one event a turn', unit: 'µs CPU / event', turns: flags.quick ? 100 : 200, perTurn: 1, everyMs: 25 },
  { name: 'bursts of 10 events a turn', unit: 'µs CPU / event', turns: flags.quick ? 30 : 60, perTurn: 10, everyMs: 60 },
];

class Process {
  constructor(file, ...args) {
    this.child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: ['--expose-gc'] });
    this.ready = once(this.child, 'message').then(([{ port }]) => (this.port = port));
  }

  async ask(command, argument) {
    this.child.send({ command, argument });
    const [{ result }] = await once(this.child, 'message');
    return result;
  }

  async stop() {
    this.child.disconnect();
    await once(this.child, 'exit');
  }
}

async function measure(name) {
  const server = new Process('./server.mjs', name);
  const clients = new Process('./clients.mjs');
  await Promise.all([server.ready, clients.ready]);
  const empty = await server.ask('heap');
  await clients.ask('open', { port: server.port, sessions: SESSIONS });
  // once: what the first events compile is not an event's cost
  await server.ask('publish', { turns: 20, perTurn: 1, everyMs: 10 });
  const idle = await server.ask('heap');
  const figures = { heap: (idle.heapUsed - empty.heapUsed) / SESSIONS / 1_024 };
  for (const { name: load, turns, perTurn, everyMs } of LOADS) {
    await clients.ask('forget');
    const { cpuMs } = await server.ask('publish', { turns, perTurn, everyMs });
    const delivered = await clients.ask('events');
    const expected = turns * perTurn * SESSIONS;
    if (delivered !== expected) throw new Error(`${name}, ${load}: ${delivered} of ${expected} events arrived`);
    figures[load] = (cpuMs * 1_000) / delivered;
  }
  await clients.ask('close');
  await Promise.all([clients.stop(), server.stop()]);
  return figures;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const names = Object.keys(contenders).filter((name) => !flags.only || name === PLAIN || name.includes(flags.only));
const rounds = Object.fromEntries(names.map((name) => [name, []]));
// interleaved, so that a slow minute of the machine is nobody's alone
for (let round = 0; round < ROUNDS; round++) {
  for (const name of names) {
    process.stdout.write(`round ${round + 1} of ${ROUNDS}: ${name} … `);
    try {
      rounds[name].push(await measure(name));
      console.log('done');
    } catch (error) {
      console.log(`failed: ${error.message}`);
    }
  }
}

const columns = ['heap', ...LOADS.map(({ name }) => name)];
const figure = (name, column) => median(rounds[name].map((figures) => figures[column]));
const lines = [
  `| | heap / session | ${LOADS.map(({ name, unit }) => `${name} (${unit})`).join(' | ')} |`,
  `| --- | ${columns.map(() => '---').join(' | ')} |`,
  ...names
    .filter((name) => rounds[name].length > 0)
    .map((name) => {
      const cells = columns.map((column) => {
        const value = figure(name, column);
        const ratio = value / figure(PLAIN, column);
        return column === 'heap'
          ? `${value.toFixed(1)} KB (${(value - figure(PLAIN, column)).toFixed(1)} more)`
          : `${value.toFixed(2)} (${ratio.toFixed(2)} x)`;
      });
      return `| ${name} | ${cells.join(' | ')} |`;
    }),
];
const page = [
  '# Results',
  '',
  `Written by \`npm run bench${flags.quick ? ' -- --quick' : ''}\` on Node ${process.versions.node}, ${cpus().length} cores: ${SESSIONS} sessions, events of 100 bytes,`,
  `the median of ${ROUNDS} interleaved ${ROUNDS === 1 ? 'round' : 'rounds'}. CPU is that of the server's process, per event that arrived; ratios are against plain Node in this run.`,
  '',
  ...lines,
  '',
].join('\n');
console.log(`\n${page}`);
if (!flags.only) writeFileSync(fileURLToPath(new URL('./RESULTS.md', import.meta.url)), page);
