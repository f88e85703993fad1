// Injects faults into servers of their own and holds what is seen against what is promised: node test/faults/run.mjs [--quick] [--only <part of a name>] [--write].
//
// A row is { name, injected, promise, quick?, run(stage) }, where run() gives { figure, ok }. With --quick only the quick rows run, in some
// seconds each; with --write the table of docs/reliability.md is filled, by this Node and by the newest LTS, which is installed for it.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Stage, pause } from './lib/harness.mjs';
import { NetworkUnavailable } from './lib/netns.mjs';
import { rows } from './rows/index.mjs';

const PAGE = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url));
/** Beside the Node that runs this: the newest LTS. */
const OTHER_NODE = '26';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' }, json: { type: 'string' } },
});

async function runRow(row) {
  const stage = new Stage();
  const before = performance.now();
  try {
    const { figure, ok } = await row.run(stage);
    return { name: row.name, figure, ok, seconds: (performance.now() - before) / 1_000 };
  } catch (error) {
    if (error instanceof NetworkUnavailable) return { name: row.name, figure: `not run: ${error.message}`, ok: true, skipped: true };
    return { name: row.name, figure: `failed: ${error.stack ?? error}`, ok: false };
  } finally {
    await stage.end();
    await pause(50);
  }
}

async function runRows() {
  const chosen = rows.filter(({ name, quick }) => (!flags.quick || quick) && (!flags.only || name.includes(flags.only)));
  const results = [];
  for (const row of chosen) {
    const result = await runRow(row);
    results.push(result);
    const mark = result.skipped ? 'SKIPPED' : result.ok ? 'ok' : 'FAILED';
    console.log(`${mark.padEnd(8)}${row.name}: ${result.figure}${result.seconds ? ` (${result.seconds.toFixed(1)} s)` : ''}`);
  }
  return results;
}

/** Runs the same rows on another Node, brought by npm's package `node`. */
function runOnOtherNode() {
  const folder = mkdtempSync(join(tmpdir(), 'sse-faults-'));
  try {
    execFileSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--no-save', `node@${OTHER_NODE}`], {
      stdio: 'inherit',
    });
    const node = join(folder, 'node_modules', 'node', 'bin', 'node');
    const json = join(folder, 'results.json');
    const passed = process.argv.slice(2).filter((argument) => argument !== '--write');
    const { status } = spawnSync(node, [fileURLToPath(import.meta.url), ...passed, '--json', json], { stdio: 'inherit' });
    return { status, ...JSON.parse(readFileSync(json, 'utf8')) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function cell(result) {
  return (result?.figure ?? '').split('\n')[0].replaceAll('|', '\\|');
}

/** Replaces what stands between the page's two marks. */
function writePage(runs) {
  const lines = [
    `| fault | how it is injected | what is promised | ${runs.map(({ version }) => `Node ${version}`).join(' | ')} |`,
    `| --- | --- | --- | ${runs.map(() => '---').join(' | ')} |`,
    ...rows.map((row) => {
      const figures = runs.map(({ results }) => cell(results.find(({ name }) => name === row.name)));
      return `| ${row.name} | ${row.injected} | ${row.promise} | ${figures.join(' | ')} |`;
    }),
  ];
  const page = readFileSync(PAGE, 'utf8');
  writeFileSync(PAGE, page.replace(/(<!-- table -->\n)[\s\S]*(<!-- end of table -->)/, `$1\n${lines.join('\n')}\n\n$2`));
}

const version = process.versions.node;
const results = await runRows();
const failed = results.filter(({ ok }) => !ok);
if (flags.json) writeFileSync(flags.json, JSON.stringify({ version, results }));
let otherFailed = false;
if (flags.write) {
  const other = runOnOtherNode();
  otherFailed = other.status !== 0;
  // a page of promises that were not kept would be read as one of promises
  if (failed.length === 0 && !otherFailed) writePage([{ version, results }, other]);
  else console.error('\nfaults: the table of docs/reliability.md is left as it was');
}
const skipped = results.filter(({ skipped: isSkipped }) => isSkipped);
if (skipped.length > 0) console.log(`\n${skipped.length} rows were NOT RUN here: ${skipped.map(({ name }) => name).join(', ')}.`);
for (const { name, figure } of failed) console.error(`\nfaults: ${name}: ${figure}`);
console.log(`\n${results.length - failed.length - skipped.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
process.exit(failed.length > 0 || otherFailed ? 1 : 0);
