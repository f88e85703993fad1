// What a row has: servers in processes of their own, bare clients, and a place where everything that it starts is ended.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { fileURLToPath } from 'node:url';

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `holds`, or gives up after `ms`; returns whether it did hold. */
export async function until(holds, ms = 5_000) {
  for (const giveUpAt = performance.now() + ms; performance.now() < giveUpAt; await pause(20)) if (await holds()) return true;
  return Boolean(await holds());
}

export function percentile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? NaN;
}

export const ms = (value) => (value >= 10_000 ? `${(value / 1_000).toFixed(1)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
export const seconds = (value) => `${(value / 1_000).toFixed(1)} s`;
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** A row's own things, ended last first. */
export class Stage {
  #ends = [];
  /** Those that are open: rows with a hundred thousand of them keep none. */
  #clients = new Set();

  onEnd(end) {
    this.#ends.push(end);
  }

  async end() {
    for (const { socket } of this.#clients) socket.destroy();
    for (const end of this.#ends.reverse()) {
      try {
        await end();
      } catch (error) {
        console.error(`faults: a row could not put away what it had started: ${String(error)}`);
      }
    }
    this.#ends = [];
  }

  /** Starts server.mjs; `options` are told there. `netns` runs it inside of a network namespace. */
  async server(options = {}) {
    const path = fileURLToPath(new URL('./server.mjs', import.meta.url));
    const child = fork(path, [JSON.stringify(options)], {
      execArgv: ['--expose-gc', ...(options.execArgv ?? [])],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const server = new Server(child);
    this.onEnd(() => server.kill());
    await server.ready;
    return server;
  }

  /** A client on a bare socket that has sent its request. */
  async client(port, path, { host = '127.0.0.1', method = 'GET', headers = {}, body, localAddress, encoding } = {}) {
    const client = new Client(connectSocket({ port, host, localAddress, allowHalfOpen: true }));
    this.#clients.add(client);
    void client.closed.then(() => this.#clients.delete(client));
    await client.connected;
    client.request(path, { method, headers, body, encoding });
    return client;
  }
}

class Server {
  #waiting = new Map();
  #next = 0;
  port = 0;

  constructor(child) {
    this.child = child;
    this.exited = once(child, 'exit');
    this.ready = new Promise((resolve, reject) => {
      child.on('message', (message) => {
        if (message.ready) {
          this.port = message.port;
          resolve(this);
          return;
        }
        const { resolve: done, reject: fail } = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.error === undefined) done(message.result);
        else fail(new Error(message.error));
      });
      child.once('exit', (code) => {
        reject(new Error(`the server ended with ${code}`));
        for (const { reject: fail } of this.#waiting.values()) fail(new Error(`the server ended with ${code}`));
      });
    });
  }

  /** Asks it for one of its `commands`. */
  ask(command, argument) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      if (!this.child.connected) reject(new Error(`the server has ended, and cannot be asked for ${command}`));
      else this.child.send({ id, command, argument });
    });
  }

  /** What it has seen, once no session is left, or after `ms`. */
  async settled(ms = 5_000) {
    await until(async () => {
      const { sessions } = (await this.ask('seen')).stats;
      return sessions.connecting + sessions.open + sessions.detached + sessions.closing === 0;
    }, ms);
    return this.ask('seen');
  }

  async kill() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

class Client {
  received = '';
  bytes = 0;
  closedAt;
  #wake = new Set();

  constructor(socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      this.bytes += data.length;
      if (this.received.length < 4_000_000) this.received += data.toString('latin1');
      for (const wake of [...this.#wake]) wake();
    });
    socket.once('end', () => socket.end());
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.closedAt = Date.now();
        resolve();
        for (const wake of [...this.#wake]) wake();
      }),
    );
    this.connected = once(socket, 'connect');
  }

  request(path, { method, headers, body, encoding = 'utf8' }) {
    const lines = [`${method} ${path} HTTP/1.1`, 'Host: x', 'Accept: text/event-stream'];
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    if (body !== undefined) lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`);
    this.socket.write(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`, encoding);
  }

  /** Waits for a text or a predicate; false when it did not come. */
  async waitFor(wanted, ms = 10_000) {
    const holds = typeof wanted === 'string' ? () => this.received.includes(wanted) : () => wanted(this);
    const giveUpAt = Date.now() + ms;
    while (!holds()) {
      if (this.closedAt !== undefined || Date.now() > giveUpAt) return holds();
      await new Promise((resolve) => {
        const timer = setTimeout(done, Math.max(1, giveUpAt - Date.now()));
        const wake = () => done();
        this.#wake.add(wake);
        const wakes = this.#wake;
        function done() {
          clearTimeout(timer);
          wakes.delete(wake);
          resolve();
        }
      });
    }
    return true;
  }
}

/** The figures that every row demands, whatever it is about: nothing uncaught, nothing left, every session completed once. */
export function isClean(seen) {
  const { sessions } = seen.stats;
  const left = sessions.connecting + sessions.open + sessions.detached + sessions.closing;
  return seen.uncaught.length === 0 && seen.twice === 0 && left === 0 && seen.stats.bytes.pending === 0 && seen.foreignContexts === 0;
}
