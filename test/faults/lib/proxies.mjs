// nginx and HAProxy between clients and server, configured by the very blocks that README.md shows, so that the two cannot differ.
import { spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { until } from './harness.mjs';

const README = new URL('../../../README.md', import.meta.url);
const POLICY = '/usr/sbin/policy-rc.d';

/** What README.md shows for a proxy, with some of it replaced: `[[what, by], ...]`. */
function blockOfReadme(language, replacements) {
  const section =
    readFileSync(README, 'utf8')
      .split(/^## /m)
      .find((text) => text.startsWith('Behind a proxy\n')) ?? '';
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(section)?.[1];
  if (!block) throw new Error(`README.md has no ${language} block in 'Behind a proxy', which this row takes its configuration from`);
  return replacements.reduce((text, [what, by]) => {
    if (!what.test(text))
      throw new Error(`the ${language} block of README.md has nothing like ${what}, which this row replaces by '${by}'`);
    return text.replace(what, by);
  }, block);
}

function find(name) {
  // a user's PATH often lacks sbin, where Debian has both
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function aptGet(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error } = spawnSync('apt-get', args, { stdio: ['ignore', 'inherit', 'inherit'], env });
  if (error ?? status !== 0) throw new Error(`apt-get ${args.join(' ')} failed: ${error?.message ?? `exit code ${status}`}`);
}

/** Installs a Debian package, and lets its service neither start now nor at the next boot: the rows start programs of their own. */
function install(name) {
  console.log(`faults: no ${name} found, installing the package ${name} with apt-get`);
  const isOwn = !existsSync(POLICY);
  if (isOwn) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    aptGet('update', '-q');
    aptGet('install', '-q', '-y', '--no-install-recommends', name);
  } finally {
    if (isOwn) rmSync(POLICY);
  }
  spawnSync('systemctl', ['disable', '--now', name], { stdio: 'ignore' });
}

function programOf(name) {
  const program = find(name);
  if (program) return program;
  const canInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version');
  if (!canInstall) throw new Error(`this row needs ${name}: install it (Debian: apt-get install ${name}), so that it is in the PATH`);
  install(name);
  return find(name) ?? fail(`the package ${name} was installed, yet no program of that name is in the PATH`);
}

function fail(message) {
  throw new Error(message);
}

/** A port below those that the kernel gives to outgoing connections, so that nothing takes it while a server restarts. */
export async function freePort() {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    const probe = createServer().listen(port, '127.0.0.1');
    const isFree = await new Promise((resolve) => probe.once('listening', () => resolve(true)).once('error', () => resolve(false)));
    if (!isFree) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

function makeFolder(stage) {
  const folder = mkdtempSync(join(tmpdir(), 'sse-faults-'));
  stage.onEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function accepts(port, host) {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 500 });
    const done = (result) => (socket.destroy(), resolve(result));
    socket.once('connect', () => done(true));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
  });
}

/** Starts a proxy, perhaps on a `network` of netns.mjs, and waits until it listens. */
async function start(stage, { program, args, network, host, port }) {
  const stdio = ['ignore', 'ignore', 'pipe'];
  const child = network ? network.spawn(program, args, { stdio }) : spawn(program, args, { stdio });
  stage.onEnd(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let said = '';
  child.stderr.on('data', (data) => (said = (said + data).slice(-4_000)));
  const listens = await until(async () => child.exitCode !== null || (await accepts(port, host)));
  if (!listens || child.exitCode !== null) throw new Error(`${program} did not start (exit code ${child.exitCode}): ${said}`);
  return { host, port };
}

/** README's upstream, with our servers in the place of its own. */
function upstreamOf(block, appHost, ports) {
  const shown = /^upstream app \{[\s\S]*?^\}\n/m.exec(block)?.[0] ?? '';
  const parameters = /^ *server [^\s;]+([^;]*);/m.exec(shown)?.[1] ?? '';
  const servers = ports.map((port) => `server ${appHost}:${port}${parameters};`).join('\n');
  const upstream = (shown || 'upstream app {\n}\n').replace(/^ *server .*\n/gm, '').replace('{', `{\n${servers}`);
  return { upstream, location: block.replace(shown, '') };
}

/** nginx before the servers on `ports`. `http` and `server` are lines for the blocks of these names, `readTimeout` is put in the place of README's. */
export async function startNginx(stage, { ports, appHost = '127.0.0.1', readTimeout, http = '', server = '', network }) {
  const program = programOf('nginx');
  const folder = makeFolder(stage);
  const host = network?.peerAddress ?? '127.0.0.1';
  const port = await freePort();
  const block = blockOfReadme('nginx', [
    [/location \S+ \{/, 'location / {'],
    ...(readTimeout ? [[/proxy_read_timeout [^;]+;/, `proxy_read_timeout ${readTimeout};`]] : []),
  ]);
  const { upstream, location } = upstreamOf(block, appHost, ports);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = `
    daemon off;
    # one process, which one SIGKILL ends
    master_process off;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    pid ${folder}/nginx.pid;
    error_log stderr error;
    events { worker_connections 8192; }
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n')}
      ${http}
      ${upstream}
      server {
        listen ${host}:${port} backlog=1024;
        ${server}
        ${location}
      }
    }`;
  writeFileSync(join(folder, 'nginx.conf'), config);
  return start(stage, { program, args: ['-p', folder, '-c', join(folder, 'nginx.conf')], network, host, port });
}

/**
 * HAProxy before a server. `frontend` are lines for that section, `readTimeout` is put in the place of README's timeouts, and `without`
 * names a line of README's that is left out.
 */
export async function startHaproxy(stage, { ports: [appPort], readTimeout, without, frontend = '' }) {
  const program = programOf('haproxy');
  const folder = makeFolder(stage);
  const port = await freePort();
  const timeouts = readTimeout ? ['client', 'server'] : [];
  const defaults = blockOfReadme('haproxy', [
    ...timeouts.map((side) => [new RegExp(`timeout ${side} +\\S+`), `timeout ${side} ${readTimeout}`]),
    ...(without ? [[new RegExp(`^ *${without}.*\n`, 'm'), '']] : []),
  ]);
  const config = `
global
  maxconn 512
${defaults}
  timeout connect 5s
frontend clients
  bind 127.0.0.1:${port}
  ${frontend}
  default_backend app
backend app
  server app 127.0.0.1:${appPort}
`;
  writeFileSync(join(folder, 'haproxy.cfg'), config);
  return start(stage, { program, args: ['-db', '-f', join(folder, 'haproxy.cfg')], host: '127.0.0.1', port });
}
