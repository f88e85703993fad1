// Clients that are cut and come back, and clients that make up what they come back with.
import { randomBytes, randomInt } from 'node:crypto';
import { isClean } from '../lib/harness.mjs';
import { checkProperties } from '../lib/properties.mjs';

const STREAMS = 20;
const EVENTS = 600;
const pick = (values) => values[randomInt(values.length)];

/** The body of what has arrived, as far as it has; as text of ASCII. */
function bodyOf(received) {
  const end = received.indexOf('\r\n\r\n');
  let body = '';
  for (let at = end < 0 ? received.length : end + 4; ;) {
    const lineEnd = received.indexOf('\r\n', at);
    const size = Number.parseInt(received.slice(at, lineEnd), 16);
    if (lineEnd < 0 || !(size > 0)) return { body, isWhole: size === 0 };
    body += received.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

const fieldOf = (block, name) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];

/** The blocks of a body that are whole. */
function blocksOf(body) {
  const whole = body.split('\n\n').slice(0, -1);
  // the opening lines stand in the first block, and its own id comes last
  return whole.map((block) => ({ type: fieldOf(block, 'event'), data: fieldOf(block, 'data'), id: block.split('\nid: ').at(-1) }));
}

/** Follows a stream to its end; at each cut it keeps the blocks that are whole, and comes back at once with the id of the last. */
async function follow(stage, port, path, cuts) {
  const seen = { numbers: [], tags: new Set(), cuts: 0, blind: 0, resets: 0, status: 0 };
  let lastId;
  for (let visit = 0; ; visit++) {
    if (visit > 0 && lastId === undefined) seen.blind++;
    const budget = seen.cuts < cuts ? randomInt(randomInt(5) === 0 ? 500 : 15_000) : Infinity;
    const client = await stage.client(port, path, { headers: lastId === undefined ? {} : { 'Last-Event-ID': lastId } });
    await client.waitFor(
      ({ received }) => received.length >= budget || received.endsWith('0\r\n\r\n') || received.includes(' 204 '),
      20_000,
    );
    const isCut = client.received.length >= budget;
    const received = isCut ? client.received.slice(0, budget) : client.received;
    if (isCut) {
      seen.cuts++;
      if (randomInt(2)) client.socket.destroy();
      else client.socket.resetAndDestroy();
    } else client.socket.destroy();
    for (const { type, data, id } of blocksOf(bodyOf(received).body)) {
      lastId = id ?? lastId;
      if (type === 'reset') seen.resets++;
      else if (data !== undefined) {
        const { n, tag } = JSON.parse(data);
        seen.numbers.push(n);
        seen.tags.add(tag);
      }
    }
    seen.status = Number(received.split(' ')[1]);
    if (!isCut && seen.status !== 200) return seen;
  }
}

async function cutRow(stage, cuts, adapter) {
  const server = await stage.server({ adapter, route: { resume: { graceMs: 3_000 }, retryMs: 100, heartbeat: { intervalMs: 50 } } });
  const journeys = await Promise.all(
    Array.from({ length: STREAMS }, (_, n) => {
      // every other one can be found by its key
      const user = n % 2 ? `&user=u${n}` : '';
      return follow(stage, server.port, `/stream?source=numbered&n=${EVENTS}&tag=t${n}${user}`, cuts / STREAMS);
    }),
  );
  const seen = await server.settled(8_000);
  const sum = (of) => journeys.reduce((total, journey) => total + of(journey), 0);
  const missed = sum(({ numbers }) => EVENTS - new Set(numbers).size);
  const twice = sum(({ numbers }) => numbers.length - new Set(numbers).size);
  const isOrdered = journeys.every(({ numbers }) => numbers.every((number, index) => number === index));
  const isOwn = journeys.every(({ tags }, n) => tags.size === 1 && tags.has(`t${n}`));
  const blind = sum(({ blind: each }) => each);
  const blindWithKey = journeys.filter((_, n) => n % 2).reduce((total, { blind: each }) => total + each, 0);
  return {
    figure: `${sum((each) => each.cuts)} cuts: ${missed} events missed, ${twice} twice, ${sum((each) => each.resets)} resets; ${seen.handlerRuns} handler calls for ${STREAMS} streams and ${blind} cuts before a first block, of which ${blindWithKey} had a key`,
    ok:
      missed === 0 &&
      twice === 0 &&
      isOrdered &&
      isOwn &&
      sum((each) => each.resets) === 0 &&
      sum((each) => each.cuts) === cuts &&
      seen.handlerRuns === STREAMS + blind - blindWithKey &&
      journeys.every(({ status }) => status === 204) &&
      isClean(seen),
  };
}

function nearMiss(id) {
  const [token, position] = id.split(':');
  const at = randomInt(id.length);
  return pick([
    `${token}:${Number(position) + randomInt(1, 5)}`,
    `${token}:0${position}`,
    `${token}:-${position}`,
    `${token}:${'9'.repeat(randomInt(10, 60))}`,
    `${token}:1e3`,
    `${token}:`,
    `${token}:end`,
    token,
    `${token}::${position}`,
    `${token.toLowerCase()}:${position}`,
    `${randomBytes(16).toString('base64url')}:${position}`,
    id.slice(0, at) + pick(['a', '-', '.', 'é', ' ']) + id.slice(at + 1),
    `${id}, ${id}`,
  ]);
}

const GARBAGE = [
  () => randomBytes(randomInt(1, 200)).filter((byte) => (byte >= 32 && byte !== 127) || byte === 9),
  () => Buffer.from(Array.from({ length: randomInt(1, 40) }, () => String.fromCodePoint(randomInt(0xa0, 0xd800))).join('')),
  () => Buffer.from(randomBytes(randomInt(1, 60)).toString('base64url')),
  (valid) => Buffer.from(nearMiss(pick(valid))),
  (valid) => Buffer.from(nearMiss(pick(valid))),
  (valid) => Buffer.from(pick(valid)),
];

export const rows = [
  {
    name: 'resumable streams cut 1,000 times',
    injected: `${STREAMS} streams of ${EVENTS} events, one in 50 of 100 KB, whose clients are cut at random bytes by FIN and RST, 50 times each, and come back at once; half of them have a \`key\``,
    promise:
      'no event is missed, none comes twice, no reset; handler calls = streams + cuts before a first block (0 of those with a `key` and a principal)',
    run: (stage) => cutRow(stage, 1_000, 'express'),
  },
  {
    name: 'resumable streams cut 1,000 times, Fastify',
    injected: 'the same on Fastify',
    promise: 'the same',
    run: (stage) => cutRow(stage, 1_000),
  },
  {
    name: 'resumable streams cut, quick',
    injected: 'the same with 200 cuts',
    promise: 'the same',
    quick: true,
    run: (stage) => cutRow(stage, 200),
  },
  {
    name: 'fuzzed Last-Event-ID',
    injected:
      '20,000 values: random bytes, text, near-misses of valid ids of three live sessions of other users and of ones that are over, and these ids themselves',
    promise: "200 or 204, never another's events, no handler call for what is answered by 204, and the three live on",
    run: async (stage) => {
      const server = await stage.server({ route: { resume: { graceMs: 1_000 }, heartbeat: false } });
      const ids = [];
      const victims = [];
      for (let n = 0; n < 3; n++) {
        const victim = await stage.client(server.port, `/stream?source=quiet&user=victim${n}`);
        victims.push(victim);
        await victim.waitFor('begin\nid: ');
        await victim.waitFor('\n\n\r\n');
        ids.push(blocksOf(bodyOf(victim.received).body).at(-1).id);
      }
      const first = await stage.client(server.port, '/stream?source=marker&user=fuzz');
      await first.waitFor('0\r\n\r\n');
      const [own] = blocksOf(bodyOf(first.received).body);
      ids.push(own.id, own.id.replace(/:.*/, ':0'));
      const seen = { 200: 0, 204: 0, other: 0, foreign: 0, resets: 0 };
      const one = async () => {
        const value = pick(GARBAGE)(ids).toString('latin1');
        const raw = await stage.client(server.port, '/stream?source=marker&user=fuzz', {
          headers: { 'Last-Event-ID': value },
          encoding: 'latin1',
        });
        await raw.waitFor(({ received }) => received.endsWith('0\r\n\r\n') || / 204 | 4\d\d | 5\d\d /.test(received.slice(0, 20)));
        raw.socket.destroy();
        const status = Number(raw.received.split(' ')[1]);
        seen[status === 200 || status === 204 ? status : 'other']++;
        for (const { type, data } of blocksOf(bodyOf(raw.received).body)) {
          if (type === 'reset') seen.resets++;
          else if (data !== 'marker of fuzz') seen.foreign++;
        }
      };
      for (let n = 0; n < 20_000; n += 50) await Promise.all(Array.from({ length: 50 }, one));
      const { sessions } = (await server.ask('seen')).stats;
      for (const victim of victims) victim.socket.destroy();
      const after = await server.settled(5_000);
      return {
        figure: `${seen[200]} answered by a stream (${seen.resets} after a reset), ${seen[204]} by 204, ${seen.other} otherwise; ${seen.foreign} events of others`,
        ok:
          seen.other === 0 &&
          seen.foreign === 0 &&
          seen.resets > 5_000 &&
          seen[204] > 500 &&
          sessions.open === 3 &&
          sessions.detached === 0 &&
          isClean(after),
      };
    },
  },
  {
    name: 'histories of clients that come and go',
    injected:
      'fast-check runs random commands on resumable sessions (events of all sizes, cuts at any byte, returns with any id, logs that trim, ends by every reason, time, restarts) and holds what each client has against a model',
    promise: 'in order, once, without a gap, or one reset with its cause; and nothing is left',
    run: async () => checkProperties('resume'),
  },
];
