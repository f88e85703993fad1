// What a managed session costs, held against plain Node and against peers in the same run: npm run bench [-- --quick].
//   --quick           small loads, one round, fewer contenders, within two minutes; writes RESULTS.quick.md in the place of RESULTS.md and the chart
//   --load <name>     one load alone (see loads.mjs), --only <part of a contender's name>, --rounds <n>: print, and write nothing
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { drawChart } from './chart.mjs';
import { Child, quantile } from './child.mjs';
import { BASELINE, contenders } from './contenders/index.mjs';
import { loads } from './loads.mjs';
import { loadTable, scaleTable } from './report.mjs';
import { measureScale } from './scale.mjs';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, load: { type: 'string' }, only: { type: 'string' }, rounds: { type: 'string' } },
});
const isWhole = !flags.load && !flags.only && !flags.rounds;
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));
const sizeOf = (load) => (flags.quick ? load.quick : load.full);

function progress(text) {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${text}`);
  else console.log(text);
}

async function measure(load, contender, size) {
  const server = new Child('./server.mjs', { name: contender, heartbeatMs: size.heartbeatMs });
  const clients = new Child('./clients.mjs');
  try {
    const [{ port }] = await Promise.all([server.ready, clients.ready]);
    return await load.measure(server, clients, { port, path: contenders[contender].watchedPath, ...size });
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
        measured.get(contender).push(await measure(load, contender, size));
      } catch (error) {
        // one that cannot take a load is left out of its table, aloud
        console.error(`\n${load.title}, ${contender}: ${error.message}`);
        failures.push(`${contender} (${load.title})`);
      }
    }
  }
  progress('');
  const medians = new Map();
  for (const [contender, figures] of measured) {
    if (figures.length === 0) continue;
    const middle = (column) =>
      quantile(
        figures.map((each) => each[column]),
        0.5,
      );
    medians.set(contender, Object.fromEntries(Object.keys(load.columns).map((column) => [column, middle(column)])));
  }
  return { load, size, medians };
}

const failures = [];
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
  `Written by \`npm run bench${flags.quick ? ' -- --quick' : ''}\` on Node ${process.versions.node}, ${process.platform}, ${cpus().length} cores, in ${Math.round((performance.now() - begin) / 1_000)} s. ` +
    `Each figure is the median of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, in which the contenders take turns, each with a fresh process for the server and another for the clients. ` +
    'CPU is that of the server’s process, the kernel’s part included; an event has about 100 bytes on the wire. Ratios are against plain Node in this run.',
  ...sections,
  ...(failures.length > 0 ? [`Did not take a load: ${failures.join(', ')}.`] : []),
  '',
].join('\n\n');
console.log(page);
if (isWhole) writeFileSync(new URL(flags.quick ? './RESULTS.quick.md' : './RESULTS.md', import.meta.url), page);
if (isWhole && !flags.quick) writeFileSync(new URL('../docs/performance.svg', import.meta.url), drawChart(results));
if (failures.some((failure) => failure.startsWith('ours') || failure.startsWith(BASELINE))) process.exitCode = 1;
