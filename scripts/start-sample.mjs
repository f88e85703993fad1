// Builds the library and the sample application, and runs the sample until Ctrl-C.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'dist-sample');
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');

function run(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

console.log('Building the library and the sample, which takes half a minute…');
run(join(root, 'scripts', 'build.mjs'));
rmSync(out, { recursive: true, force: true });
run(tsc, '-p', join('sample', 'tsconfig.build.json'));
const pages = join(root, 'sample', 'public');
if (existsSync(pages)) cpSync(pages, join(out, 'public'), { recursive: true });

const sample = spawn(process.execPath, ['--enable-source-maps', join(out, 'main.js')], { cwd: root, stdio: 'inherit' });
// A terminal's Ctrl-C reaches the sample too: this process only has to outlive its shutdown. Other signals are handed on.
process.on('SIGINT', () => console.log('\nStopping: answers that are under way have 5 s to end.'));
process.on('SIGTERM', () => sample.kill('SIGTERM'));
// `npm start` that is killed takes its shell along, and nobody else: whoever has lost its parent stops.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && sample.kill('SIGTERM'), 500).unref();
sample.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
