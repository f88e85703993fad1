// Builds the package twice, as ES modules and as CommonJS, because an application on Nest 11 may be either.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
const builds = [
  { project: 'tsconfig.build.json', folder: 'esm', type: 'module' },
  { project: 'tsconfig.cjs.json', folder: 'cjs', type: 'commonjs' },
];

rmSync(join(root, 'dist'), { recursive: true, force: true });
for (const { project, folder, type } of builds) {
  const { status, error } = spawnSync(process.execPath, [tsc, '-p', project], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) {
    console.error(`build: tsc -p ${project} failed`);
    process.exit(status ?? 1);
  }
  const out = join(root, 'dist', folder);
  mkdirSync(out, { recursive: true });
  // Says how Node reads the .js files here, whatever the package.json of the root says.
  writeFileSync(join(out, 'package.json'), `${JSON.stringify({ type })}\n`);
}
