// Code and input that mean harm, or know no better.
import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { createParser } from 'eventsource-parser';
import { sseEvent } from 'nestjs-sse-session';
import { createTestSession } from 'nestjs-sse-session/testing';
import { isClean, pause, until } from '../lib/harness.mjs';
import { checkProperties } from '../lib/properties.mjs';

const require = createRequire(import.meta.url);

/** The parser of `@microsoft/fetch-event-source`, which is not one of its exports. */
const { getLines, getMessages } = require(require.resolve('@microsoft/fetch-event-source').replace(/index\.js$/, 'parse.js'));

const PIECES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ':',
  ' ',
  'data:',
  'data: ',
  'event: ',
  'id: 1',
  'retry: 1',
  '\uFEFF',
  '\u2028',
  '\u2029',
  '\u0085',
  'é',
  '🙂',
  'a',
  '',
  '\n\n',
  '\r\r',
  '\t',
  'id',
  '\x1b[2J',
  '</script>',
];
const nasty = () => Array.from({ length: randomInt(0, 6) }, () => PIECES[randomInt(PIECES.length)]).join('');

/** What a client would have of a field that was accepted: line breaks are one kind of thing in `data`. */
const asReceived = (text) => text.replace(/\r\n|\r/g, '\n');

function readByEventsourceParser(text) {
  const events = [];
  createParser({ onEvent: ({ event, data, id }) => events.push({ type: event ?? '', data, id }) }).feed(text);
  return events;
}

function readByFetchEventSource(text) {
  const events = [];
  let lastId;
  const onLine = getMessages(
    (id) => (lastId = id),
    () => undefined,
    ({ event, data, id }) => events.push({ type: event, data, id: id || undefined }),
  );
  getLines(onLine)(new TextEncoder().encode(text));
  void lastId;
  return events.filter(({ data, type }) => data !== '' || type !== '');
}

/** It takes a BOM from the beginning of every field, and what is empty for absent: its own ways, which forge nothing. */
function asFetchEventSourceReceives({ type, data }) {
  const withoutBom = (text) => text.replace(/^\uFEFF/, '');
  const lines = data.split('\n').map(withoutBom);
  const event = { type: withoutBom(type), data: lines.reduce((joined, line) => (joined ? `${joined}\n${line}` : line)) };
  return event.type === '' && event.data === '' ? undefined : event;
}

const PARSERS = [
  { read: readByEventsourceParser, receives: (event) => event },
  { read: readByFetchEventSource, receives: asFetchEventSourceReceives },
];

function injectionInputs(count) {
  let accepted = 0;
  let refused = 0;
  let forged = 0;
  for (let n = 0; n < count; n++) {
    const fields = { data: nasty(), type: nasty(), id: nasty(), comment: nasty() };
    const session = createTestSession({ options: { retryMs: false, heartbeat: false } });
    let event;
    try {
      event = sseEvent(fields);
    } catch (error) {
      if (error.code !== 'INVALID_EVENT' || !/[\r\n\0]/.test(fields.type + fields.id)) forged++;
      refused++;
      continue;
    }
    accepted++;
    session.send(event);
    void session.flushed().catch(() => undefined);
    // a BOM at the very beginning of a stream is not the event's, so there is a block before it
    const text = `data: before\n\n${session.received}data: after\n\n`;
    session.close();
    for (const { read, receives } of PARSERS) {
      const sent = receives({ type: fields.type, data: asReceived(fields.data) });
      const expected = [{ type: '', data: 'before' }, ...(sent ? [sent] : []), { type: '', data: 'after' }];
      const received = read(text).map(({ type, data }) => ({ type, data }));
      if (JSON.stringify(received) !== JSON.stringify(expected)) forged++;
    }
  }
  return { accepted, refused, forged };
}

export const rows = [
  {
    name: 'injection',
    injected:
      '20,000 events of random CR, LF, NUL, BOM, field names and separators in every field, read by the parsers of `eventsource-parser` and `@microsoft/fetch-event-source`',
    promise: 'refused, or read back as it was sent: no field and no event is forged',
    quick: true,
    run: async () => {
      const { accepted, refused, forged } = injectionInputs(20_000);
      return { figure: `${accepted} sent, ${refused} refused, ${forged} forged`, ok: forged === 0 && accepted > 1_000 && refused > 1_000 };
    },
  },
  {
    name: 'hooks that throw, reject or hang',
    injected: 'all four hooks of 30 sessions, which end by their client, by themselves and by a cancel',
    promise: 'the process lives, every session completes once, nothing is delayed',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({});
      const clients = [];
      for (const hooks of ['throw', 'reject', 'hang']) {
        for (let n = 0; n < 10; n++)
          clients.push(
            await stage.client(server.port, `/stream?source=${n % 2 ? 'quiet' : 'done'}&hooks=${hooks}&user=${n === 1 ? 'ann' : 'bob'}`),
          );
      }
      await Promise.all(clients.map((client) => client.waitFor('data:')));
      await server.ask('cancelAll', { principal: 'ann' });
      for (const client of clients) client.socket.destroy();
      const seen = await server.settled();
      return {
        figure: `${seen.completed} of ${seen.created} completed, ${seen.uncaught.length} uncaught`,
        ok: seen.completed === 30 && seen.created === 30 && isClean(seen),
      };
    },
  },
  {
    name: 'context of another user',
    injected: '100 concurrent users with an `AsyncLocalStorage` each, whose sessions are ended by a shared timer',
    promise: 'source and hooks run in the context of their own request, or in none',
    quick: true,
    run: async (stage) => {
      const server = await stage.server({ module: { timeoutMs: 1_500 } });
      const clients = await Promise.all(
        Array.from({ length: 100 }, (_, n) => stage.client(server.port, `/stream?source=ticks&ms=20&user=u${n}`)),
      );
      await Promise.all(clients.map((client) => client.waitFor('"n":3')));
      const seen = await server.settled();
      return {
        figure: `${seen.ends.length} ends, ${seen.foreignContexts} in a foreign context`,
        ok: seen.ends.length === 100 && isClean(seen),
      };
    },
  },
  {
    name: 'producer that does not stop',
    injected: 'a source whose `next()` never settles, and a handler that never returns, after their clients have left',
    promise: 'the session ends; a warning with its id and route some seconds later',
    run: async (stage) => {
      const server = await stage.server({ module: { cleanup: { intervalMs: 1_000 } } });
      const stuck = await stage.client(server.port, '/stream?source=stuck');
      const late = await stage.client(server.port, '/stream?source=late&ms=60000');
      await stuck.waitFor('200 OK');
      await pause(100);
      stuck.socket.destroy();
      late.socket.destroy();
      await server.settled();
      await until(async () => (await server.ask('seen')).warnings.filter((line) => line.includes('still runs')).length === 2, 9_000);
      const seen = await server.ask('seen');
      const warnings = seen.warnings.filter((line) => /The producer of session [0-9a-f-]{36} \(GET \/stream\) still runs/.test(line));
      return {
        figure: `${seen.ends.length} sessions ended, ${warnings.length} warnings`,
        ok: warnings.length === 2 && seen.ends.length === 2 && isClean(seen),
      };
    },
  },
  {
    name: 'authorisation ends',
    injected: 'a token that expires after 1 s, and a `revalidate` that says no of one of two users',
    promise: 'the sessions end as `unauthorized`, and no other',
    run: async (stage) => {
      const expiring = await stage.server({ expiresInMs: 1_000 });
      const asking = await stage.server({ revalidate: 500 });
      const one = await stage.client(expiring.port, '/stream?source=quiet');
      await stage.client(asking.port, '/stream?source=quiet&user=mallory');
      const good = await stage.client(asking.port, '/stream?source=quiet&user=alice');
      await Promise.all([one.waitFor('0\r\n\r\n'), pause(2_500)]);
      const [first, second] = [await expiring.ask('seen'), await asking.ask('seen')];
      const reasons = [...first.ends, ...second.ends].map(({ reason }) => reason);
      return {
        figure: `${reasons.filter((reason) => reason === 'unauthorized').length} ended as unauthorized, ${second.stats.sessions.open} lives on`,
        ok: reasons.join() === 'unauthorized,unauthorized' && second.stats.sessions.open === 1 && good.closedAt === undefined,
      };
    },
  },
  {
    name: 'write, end and abort races',
    injected:
      'fast-check runs random commands on a session (send, drain, leave, end by every reason, hooks that meddle) against a model of the state table',
    promise: 'the session and the model never differ',
    run: async () => checkProperties('session'),
  },
];
