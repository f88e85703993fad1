// The other side of chaos.mjs, in a process of its own: the clients, who leave as they like, and the upstream, which sees its streams close.
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const FATES = ['fin', 'rst', 'set-up fin', 'set-up rst', 'complete', 'after completion', 'cancelled', 'error'];
const KINDS = ['openai', 'fetch', 'observable', 'generator'];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Times by `performance.now()`, by the id of the run. */
let leftAt = new Map();
let openedAt = new Map();
let closedAt = new Map();
let upstreamOpen = 0;
const delay = monitorEventLoopDelay();
delay.enable();

const CHUNK = `data: ${JSON.stringify({ id: 'chunk', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'token ' } }] })}\n\n`;

const upstream = createServer((request, response) => {
  request.resume();
  upstreamOpen++;
  openedAt.set(request.headers['x-run'], performance.now());
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(CHUNK);
  const timer = setInterval(() => response.write(CHUNK), 30);
  response.once('close', () => {
    clearInterval(timer);
    upstreamOpen--;
    closedAt.set(request.headers['x-run'], performance.now());
  });
});

async function run(port) {
  const fate = FATES[randomInt(FATES.length)];
  const kind = KINDS[randomInt(KINDS.length)];
  const id = randomUUID();
  const socket = connect({ port, host: '127.0.0.1' });
  const closed = once(socket, 'close');
  let received = '';
  let wake = () => undefined;
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    received += data.toString('latin1');
    wake();
  });
  socket.on('close', () => wake());
  const until = async (holds) => {
    while (!socket.destroyed && !holds()) await new Promise((resolve) => (wake = resolve));
  };
  await once(socket, 'connect').catch(() => undefined);
  const planned = fate === 'after completion' ? 'complete' : fate;
  socket.write(
    `GET /stream?fate=${encodeURIComponent(planned)}&kind=${kind}&id=${id} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`,
  );
  const leave = (how) => {
    leftAt.set(id, performance.now());
    if (how === 'rst') socket.resetAndDestroy();
    else socket.end().destroy();
  };
  switch (fate) {
    case 'fin':
    case 'rst':
      await until(() => received.includes('data: '));
      await pause(randomInt(0, 60));
      leave(fate);
      break;
    case 'set-up fin':
    case 'set-up rst':
      await pause(randomInt(0, 51));
      leave(fate.slice(-3));
      break;
    case 'after completion':
      await until(() => received.includes('0\r\n\r\n'));
      await pause(randomInt(0, 10));
      socket.resetAndDestroy();
      break;
    default:
      await until(() => received.includes('0\r\n\r\n') || /content-length/i.test(received));
      socket.destroy();
  }
  await closed;
}

async function round({ port, sessions, concurrency }) {
  leftAt = new Map();
  openedAt = new Map();
  closedAt = new Map();
  let started = 0;
  delay.reset();
  const workers = Array.from({ length: concurrency }, async () => {
    while (started++ < sessions) await run(port);
  });
  await Promise.all(workers);
  for (let waited = 0; upstreamOpen > 0 && waited < 5_000; waited += 20) await pause(20);
  // of streams that the handler had begun by then: what it begins later, and takes how long to, is its own affair
  const begun = [...leftAt].filter(([id, at]) => closedAt.get(id) > at && openedAt.get(id) < at);
  const upstreamClosed = begun.map(([id, at]) => closedAt.get(id) - at);
  process.send({ upstreamClosed, upstreamOpen, delayMs: delay.percentile(99) / 1e6 });
}

process.on('message', (message) => {
  if (message.stop) process.exit(0);
  void round(message.round);
});
upstream.listen(0, '127.0.0.1', () => process.send({ upstreamUrl: `http://127.0.0.1:${upstream.address().port}/v1` }));
