// Clients on the far side of a network that vanishes: node far-clients.mjs <url> <count> <http1|http2>. Prints a line for each that has its stream.
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:http';

const [url, count, protocol] = process.argv.slice(2);
const path = new URL(url).pathname + new URL(url).search;

function listen(stream, n) {
  let has = false;
  let bytes = 0;
  stream.on('data', (data) => {
    bytes += data.length;
    if (!has && String(data).includes('data:')) {
      has = true;
      console.log(`open ${n}`);
    }
  });
  stream.on('error', () => undefined);
  stream.on('close', () => console.log(`closed ${n} ${bytes}`));
}

if (protocol === 'http2') {
  // some streams to a connection, as a browser has them
  for (let n = 0; n < Number(count); n += 5) {
    const session = connectHttp2(new URL(url).origin);
    session.on('error', () => undefined);
    for (let k = n; k < Math.min(n + 5, Number(count)); k++) listen(session.request({ ':path': path, accept: 'text/event-stream' }), k);
  }
} else {
  for (let n = 0; n < Number(count); n++) {
    request(url, { agent: false, headers: { accept: 'text/event-stream' } }, (response) => listen(response, n))
      .on('error', () => undefined)
      .end();
  }
}
