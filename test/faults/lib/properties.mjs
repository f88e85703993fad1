// The property tests of the unit suite, with many more runs.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const RUNS = 2_000;

/** Runs those of `test/property/<name>.spec.ts`. */
export function checkProperties(name) {
  const jest = [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    'unit',
    '--testPathPatterns',
    `property/${name}`,
  ];
  const { status, stderr } = spawnSync(process.execPath, jest, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, FC_RUNS: String(RUNS) },
  });
  const [, tests] = /^Tests:\s+(.*)$/m.exec(stderr) ?? [];
  return { figure: `${RUNS.toLocaleString('en')} runs of each property: ${tests}`, ok: status === 0 };
}
