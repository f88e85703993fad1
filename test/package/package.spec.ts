import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from '../support/eventually.js';
import { closeClients, connect } from '../support/raw-client.js';

// Two installations from the registry, which may be slow.
jest.setTimeout(600_000);

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));

let workplace: string;
let tarball: string;
let packed: string[];

beforeAll(async () => {
  workplace = await mkdtemp(join(tmpdir(), 'nestjs-sse-session-'));
  await run('npm', ['run', 'build'], root);
  const report = JSON.parse(await run('npm', ['pack', '--json', '--pack-destination', workplace], root)) as unknown;
  const { filename, files } = readPackReport(report);
  tarball = join(workplace, filename);
  packed = files.map(({ path }) => path);
});

afterAll(() => rm(workplace, { recursive: true, force: true }));

describe('the packed package', () => {
  it('holds both builds, the sources that their maps name, and no test', () => {
    expect(packed).toEqual(expect.arrayContaining(['package.json', 'dist/esm/index.js', 'dist/cjs/index.js', 'lib/index.ts']));
    expect(packed).toEqual(expect.arrayContaining(['dist/esm/testing/index.d.ts', 'dist/cjs/testing/index.d.ts']));
    expect(packed.filter((path) => /(^|\/)(test|sample|bench|node_modules)\//.test(path))).toEqual([]);
  });

  it('is found well made by publint', async () => {
    expect(await run('npx', ['--no-install', 'publint', '--strict', tarball], root)).toContain('All good!');
  });

  it('has types for every way of resolving modules, by arethetypeswrong', async () => {
    expect(await run('npx', ['--no-install', 'attw', tarball], root)).toContain('No problems found');
  });
});

describe.each(['esm-nest-12', 'cjs-nest-11'])('a fresh application (%s)', (name) => {
  let folder: string;
  let server: ChildProcess | undefined;

  beforeAll(async () => {
    folder = join(workplace, name);
    await cp(join(here, 'fixtures', name), folder, { recursive: true });
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', tarball], folder);
    await run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.json'], folder);
  });

  afterEach(async () => {
    await closeClients();
    if (server?.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  });

  it('starts, streams events over HTTP, runs its hooks and stops', async () => {
    server = spawn(process.execPath, [join(folder, 'dist', 'main.js')], { stdio: ['ignore', 'pipe', 'inherit'] });
    const port = await listeningPort(server);

    const client = await connect(port);
    const { status, headers, body } = await client.request('GET', '/ticks', { Accept: 'text/event-stream' }).whole();
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^text\/event-stream/);
    expect(body.match(/^data: .*$/gm)).toEqual([
      'data: {"tick":0,"route":"GET /ticks"}',
      'data: {"tick":1,"route":"GET /ticks"}',
      'data: {"tick":2,"route":"GET /ticks"}',
      'data: {"reason":"complete"}',
    ]);

    await eventually(async () => {
      const summary: unknown = await (await fetch(`http://127.0.0.1:${port}/sessions`)).json();
      expect(summary).toEqual({ opened: 1, ended: ['complete'], live: 0 });
    });

    const exit = once(server, 'exit');
    server.kill('SIGTERM');
    // Nest ends itself with the signal that it got, once its shutdown hooks have run.
    expect(await exit).toEqual([null, 'SIGTERM']);
  });

  it('is told when both builds are loaded, by the first use of either', async () => {
    const script = `
      import { createRequire } from 'node:module';
      import * as esm from 'nestjs-sse-session';
      const cjs = createRequire(import.meta.url)('nestjs-sse-session');
      for (const { SseSessionModule, ManagedSse, OnSseSession, CurrentSession } of [esm, cjs]) {
        for (const use of [() => SseSessionModule.forRoot(), () => ManagedSse(), () => OnSseSession('open'), () => CurrentSession()]) {
          try {
            use();
          } catch (error) {
            console.log(error.code, /dist.esm.copies\\.js and .*dist.cjs.copies\\.js/.test(error.message) || error.message);
          }
        }
      }`;
    const printed = await run(process.execPath, ['--input-type=module', '--eval', script], folder);
    expect(printed.trim().split('\n')).toEqual(Array.from({ length: 8 }, () => 'DUPLICATE_LIBRARY true'));
  });

  if (name === 'cjs-nest-11') {
    it('tests itself with the default ts-jest', async () => {
      await run(process.execPath, [join('node_modules', 'jest', 'bin', 'jest.js')], folder);
    });
  }
});

/** Runs a program to its end and gives what it printed; if it fails, all that it printed is in the error. */
function run(program: string, args: string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd, env: environment(), maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')} failed in ${cwd}\n${stdout}\n${stderr}`));
      else resolve(stdout);
    });
  });
}

/** As in a user's terminal: nothing of Jest, and nothing that `npm run` says about this package. */
function environment(): NodeJS.ProcessEnv {
  const isOurs = (name: string) => /^(JEST_|npm_(package|lifecycle)_|npm_config_local_prefix$|NODE_ENV$|NODE_OPTIONS$)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOurs(name)));
}

/** npm 11 prints an array, npm 12 an object by package name. */
function readPackReport(report: unknown): { filename: string; files: { path: string }[] } {
  const [entry] = Object.values(report as Record<string, { filename: string; files: { path: string }[] }>);
  if (!entry) throw new Error(`npm pack reported nothing: ${JSON.stringify(report)}`);
  return entry;
}

async function listeningPort(server: ChildProcess): Promise<number> {
  if (!server.stdout) throw new Error('the output of the server must be a pipe');
  for await (const line of createInterface({ input: server.stdout })) {
    const port = /^listening on (\d+)$/.exec(line)?.[1];
    if (port) return Number(port);
  }
  throw new Error(`the server ended before it listened, exit code ${server.exitCode}`);
}
