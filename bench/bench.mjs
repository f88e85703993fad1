// What a managed session costs, held against plain Node and against peers in the same run: npm run bench [-- --quick].
//   --quick           small loads, one round, fewer contenders, within two minutes; writes RESULTS.quick.md in the place of RESULTS.md and the chart
//   --profile         where the time of an event goes, of plain Node and of ours, by a CPU profile; prints, and writes nothing
//   --heap            of which objects the heap of a session consists, of the same
//   --load <name>     one load alone (see loads.mjs), --only <part of a contender's name>, --rounds <n>: print, and write nothing
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { drawChart } from './chart.mjs';
import { Child, quantile } from './child.mjs';
import { BASELINE, contenders } from './contenders/index.mjs';
import { PROFILED, loads, profileEvents, weighSessions } from './loads.mjs';
import { heapTable, loadTable, profileTable, scaleTable } from './report.mjs';
import { measureScale } from './scale.mjs';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    profile: { type: 'boolean' },
    heap: { type: 'boolean' },
    load: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string' },
  },
});
for (const [flag, known] of [
  ['load', Object.keys(loads)],
  ['only', Object.keys(contenders)],
]) {
  const value = flags[flag];
  if (value === undefined || (flag === 'load' ? known.includes(value) : known.some((name) => name.includes(value)))) continue;
  console.error(`bench: --${flag} got "${value}"; expected ${flag === 'load' ? 'one' : 'a part of one'} of: ${known.join('; ')}`);
  process.exit(1);
}
const isWhole = !flags.load && !flags.only && !flags.rounds;
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));
const sizeOf = (load) => (flags.quick ? load.quick : load.full);

/** Who did not take which load. */
const failures = [];

function progress(text) {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${text}`);
  else console.log(text);
}

async function inProcesses(contender, options, measure) {
  const server = new Child('./server.mjs', { name: contender, ...options });
  const clients = new Child('./clients.mjs');
  try {
    const [{ port }] = await Promise.all([server.ready, clients.ready]);
    return await measure(server, clients, port);
  } finally {
    await Promise.all([clients.stop(), server.stop()]);
  }
}

/** The median of each figure over all rounds, by contender. Rounds are interleaved, so that a slow minute of the machine is nobody's alone. */
async function run(name) {
  const load = loads[name];
  const size = sizeOf(load);
  const isWanted = (contender) => contender === BASELINE || contender.includes(flags.only ?? '');
  const names = Object.keys(contenders).filter(
    (contender) => contenders[contender].loads.includes(name) && (contenders[contender].quick || !flags.quick) && isWanted(contender),
  );
  const measured = new Map(names.map((contender) => [contender, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const contender of names) {
      progress(`${load.title}, round ${round} of ${rounds}: ${contender}`);
      try {
        const figures = await inProcesses(contender, { heartbeatMs: size.heartbeatMs }, (server, clients, port) =>
          load.measure(server, clients, { port, ...size }),
        );
        measured.get(contender).push(figures);
      } catch (error) {
        // one that cannot take a load is left out of its table, aloud
        console.error(`\n${load.title}, ${contender}: ${error.message}`);
        failures.push({ contender, load: load.title });
      }
    }
  }
  progress('');
  const medians = new Map();
  for (const [contender, figures] of measured) {
    if (figures.length === 0) continue;
    const all = (column) => figures.map((each) => each[column]).sort((a, b) => a - b);
    medians.set(
      contender,
      Object.fromEntries(Object.keys(load.columns).map((column) => [column, { median: quantile(all(column), 0.5), all: all(column) }])),
    );
  }
  return { load, size, medians };
}

async function dissect(contenders, look) {
  const figures = [];
  for (const contender of contenders) {
    progress(`A look into ${contender}`);
    figures.push([contender, await inProcesses(contender, {}, (server, clients, port) => look(server, clients, { port }))]);
  }
  progress('');
  return figures;
}

if (flags.profile || flags.heap) {
  const ours = ['ours, SseEvent, Fastify', 'ours, SseEvent, Express'];
  if (flags.profile) console.log(profileTable(await dissect([BASELINE, ...ours, 'ours, objects, Fastify'], profileEvents), PROFILED));
  if (flags.heap)
    console.log(heapTable(await dissect([BASELINE, 'Nest @Res(), Fastify', 'the least session, Fastify', ...ours], weighSessions)));
  process.exit();
}

const begin = performance.now();
const results = {};
for (const name of Object.keys(loads)) {
  if (!flags.load || flags.load === name) results[name] = await run(name);
}
const sections = Object.values(results).map(loadTable);
if (isWhole) {
  progress('Sessions in memory');
  sections.push(scaleTable(await measureScale({ sizes: flags.quick ? [1_000, 10_000] : [1_000, 10_000, 100_000] })));
  progress('');
}

const page = [
  '# Results',
  `By \`npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}\` on Node ${process.versions.node}, ${process.platform}, ${cpus().length} cores, in ${Math.round((performance.now() - begin) / 1_000)} s. ` +
    `Each figure is the median of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, in which the contenders take turns, each with a fresh process for the server and another for the clients. ` +
    'CPU is that of the server’s process, the kernel’s part included; an event has about 100 bytes on the wire. Ratios are against plain Node in this run.',
  ...sections,
  ...(failures.length > 0 ? [`Did not take a load: ${failures.map(({ contender, load }) => `${contender} (${load})`).join(', ')}.`] : []),
  '',
].join('\n\n');
console.log(page);
if (isWhole) writeFileSync(new URL(flags.quick ? './RESULTS.quick.md' : './RESULTS.md', import.meta.url), page);
if (isWhole && !flags.quick) writeFileSync(new URL('../docs/performance.svg', import.meta.url), drawChart(results));
if (failures.some(({ contender }) => contenders[contender].kind !== 'other')) process.exitCode = 1;
