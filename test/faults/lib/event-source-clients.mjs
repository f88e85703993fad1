// Real EventSource objects: node event-source-clients.mjs <url> <count> <per second at first>. Reports over IPC, five times a second, when
// connections opened, how many are open, and how many are closed for good.
import { EventSource } from 'eventsource';

const [url, count, perSecond] = process.argv.slice(2);
const sources = [];
let opens = [];

const countIn = (state) => sources.filter(({ readyState }) => readyState === state).length;

const starting = setInterval(() => {
  for (let n = 0; n < Number(perSecond) / 20 && sources.length < Number(count); n++) {
    const source = new EventSource(url);
    source.onopen = () => opens.push(Date.now());
    sources.push(source);
  }
  if (sources.length === Number(count)) clearInterval(starting);
}, 50);

setInterval(() => {
  process.send({ opens, open: countIn(EventSource.OPEN), closed: countIn(EventSource.CLOSED), at: Date.now() });
  opens = [];
}, 200);

// not to be left behind when the suite is stopped
process.on('disconnect', () => process.exit());
