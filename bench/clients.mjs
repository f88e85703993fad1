// The clients of a benchmark, on bare sockets that only count, so that they are not what is measured. Driven over IPC by loads.mjs.
import { once } from 'node:events';
import { connect } from 'node:net';
import { quantile, serve, stamp } from './child.mjs';

const SPACE = 0x20;
const QUOTE = 0x22;
const DATA = Buffer.from('data:');
const STAMP_LENGTH = 16;
/** Ports of one address are used up after 28,000 connections, as the side that closes keeps them for a minute. */
const ADDRESSES = 100;

let sockets = [];
let events = 0;
let delaysMs = [];
let reads = 0;
let connected = 0;

/** Counts the lines of data of a stream, one to each event here. What arrives may end within one. */
function counter() {
  let tail = '';
  return (data) => {
    reads++;
    for (let at = data.indexOf(DATA); at >= 0; at = data.indexOf(DATA, at + DATA.length)) events++;
    if (tail !== '' && (tail + data.latin1Slice(0, DATA.length - tail.length)).startsWith('data:')) events++;
    tail = '';
    for (let length = 1; length < DATA.length; length++) {
      if (data.length >= length && data.latin1Slice(data.length - length) === 'data:'.slice(0, length)) tail = 'data:'.slice(0, length);
    }
  };
}

/** Reads when each event of a stream was published. */
function readStamps(data) {
  const now = stamp();
  for (let at = data.indexOf(DATA); at >= 0; at = data.indexOf(DATA, at + 1)) {
    let from = at + DATA.length;
    if (data[from] === SPACE) from++;
    if (data[from] === QUOTE) from++;
    const published = Number(data.latin1Slice(from, from + STAMP_LENGTH));
    // not one that is cut
    if (published > 0 && from + STAMP_LENGTH <= data.length) delaysMs.push((now - published) / 1_000);
  }
}

async function openOne({ port, path }) {
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + (connected++ % ADDRESSES)}` });
  socket.on('error', () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`);
  const [head] = await once(socket, 'data');
  if (!head.includes(' 200 ')) throw new Error(`The answer to ${path} is ${head.toString('latin1', 0, 40)}`);
  return socket;
}

/** @param sampleEvery of every so many sockets the delay of each event is taken; 0 for none */
async function open({ port, path, sessions, sampleEvery = 0 }) {
  for (let n = 0; n < sessions; n += 100) {
    const opened = await Promise.all(Array.from({ length: Math.min(100, sessions - n) }, () => openOne({ port, path })));
    opened.forEach((socket, k) => {
      socket.on('data', counter());
      if (sampleEvery > 0 && (n + k) % sampleEvery === 0) socket.on('data', readStamps);
    });
    sockets.push(...opened);
  }
}

/** Opens a session and closes it once it has begun, over and over. */
async function churn({ port, path, concurrency, seconds }) {
  const until = performance.now() + seconds * 1_000;
  let sessions = 0;
  const loop = async () => {
    while (performance.now() < until) {
      const socket = await openOne({ port, path });
      socket.destroy();
      sessions++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return sessions;
}

const commands = {
  open,
  churn,
  forget() {
    events = 0;
    reads = 0;
    delaysMs = [];
  },
  seen: () => ({ events, reads, p50: quantile(delaysMs, 0.5), p99: quantile(delaysMs, 0.99) }),
  close() {
    for (const socket of sockets) socket.destroy();
    sockets = [];
  },
};

serve(commands);
