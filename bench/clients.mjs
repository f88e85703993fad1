// The clients of a benchmark, on bare sockets that only count, so that they are not what is measured: node clients.mjs. Driven over IPC by bench.mjs.
import { connect } from 'node:net';

const END = Buffer.from('\n\n');
let sockets = [];
let events = 0;

function count(data) {
  for (let at = data.indexOf(END); at >= 0; at = data.indexOf(END, at + 2)) events++;
}

async function open({ port, sessions }) {
  events = 0;
  let heads = 0;
  for (let n = 0; n < sessions; n += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, sessions - n) }, () => {
        const socket = connect({ port, host: '127.0.0.1' });
        sockets.push(socket);
        socket.on('error', () => undefined);
        socket.write('GET /stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n');
        return new Promise((resolve) =>
          socket.once('data', () => {
            heads++;
            socket.on('data', count);
            resolve();
          }),
        );
      }),
    );
  }
  events = 0;
  return heads;
}

function close() {
  for (const socket of sockets) socket.destroy();
  sockets = [];
}

const commands = { open, close, events: () => events, forget: () => void (events = 0) };
process.on('message', async ({ command, argument }) => process.send({ result: await commands[command](argument) }));
process.on('disconnect', () => process.exit());
process.send({ port: 0 });
