import { randomBytes, randomInt } from 'node:crypto';
import { expect, it, jest } from '@jest/globals';
import { Controller, type ExecutionContext, Query } from '@nestjs/common';
import { CurrentSession, LastEventId, ManagedSse, SessionManager, SseSession, SseSessionModule } from 'nestjs-sse-session';
import { describeEachAdapter } from '../support/apps.js';
import { blocksOf, committedIdOf } from '../support/blocks.js';
import { eventually } from '../support/eventually.js';
import { EVENT_STREAM } from '../support/life.js';
import { connect } from '../support/raw-client.js';

jest.setTimeout(60_000);

/** More of them in npm run test:faults. */
const VALUES = 2_000;
const AT_ONCE = 20;

@Controller()
class MarkerController {
  @ManagedSse('markers', {
    resume: { graceMs: 1_000 },
    heartbeat: false,
    principal: (context: ExecutionContext) =>
      context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers['x-user'],
  })
  markers(@CurrentSession() session: SseSession, @LastEventId() _lastEventId: string | undefined, @Query() _query: unknown): void {
    session.send(`marker of ${session.principal ?? 'nobody'}`);
    // the victims' stay
    if (!session.principal?.startsWith('victim')) session.complete();
  }
}

/** Of random characters of a kind: any byte that a header may have, text in UTF-8 as a browser sends it, and what looks like an id. */
const GARBAGE: ((valid: string[]) => Buffer)[] = [
  () => Buffer.from(randomBytes(randomInt(1, 200)).filter((byte) => (byte >= 32 && byte !== 127) || byte === 9)),
  () => Buffer.from(Array.from({ length: randomInt(1, 40) }, () => String.fromCodePoint(randomInt(0xa0, 0xd800))).join('')),
  () => Buffer.from('é ÿ ‰ 🙂 '.repeat(randomInt(1, 9))),
  () => Buffer.from(randomBytes(randomInt(1, 60)).toString('base64url')),
  (valid) => Buffer.from(nearMiss(pick(valid))),
  (valid) => Buffer.from(nearMiss(pick(valid))),
  (valid) => Buffer.from(pick(valid)),
];

function pick<T>(values: readonly T[]): T {
  return values[randomInt(values.length)] as T;
}

function nearMiss(id: string): string {
  const [token, position] = id.split(':') as [string, string];
  const at = randomInt(id.length);
  return pick([
    `${token}:${Number(position) + randomInt(1, 5)}`,
    `${token}:0${position}`,
    `${token}:-${position}`,
    `${token}:${'9'.repeat(randomInt(10, 60))}`,
    `${token}:${2 ** 53}`,
    `${token}:1e3`,
    `${token}:0x1`,
    `${token}:`,
    `${token}:NaN`,
    `${token}:end`,
    `${token}:End`,
    token,
    `${token}::${position}`,
    `${token}:${position}:${position}`,
    `${token} :${position}`,
    `${token.toLowerCase()}:${position}`,
    `${token.slice(0, -1)}:${position}`,
    `${token}A:${position}`,
    `${randomBytes(16).toString('base64url')}:${position}`,
    id.slice(0, at) + pick(['a', '-', '.', '\u00e9', ' ']) + id.slice(at + 1),
    `${id}, ${id}`,
    `"${id}"`,
    '__proto__:1',
    'constructor',
  ]);
}

describeEachAdapter('Whatever comes as Last-Event-ID', ({ startApp }) => {
  async function start() {
    const { app, port } = await startApp({ imports: [SseSessionModule.forRoot({})], controllers: [MarkerController] });
    const manager = app.get(SessionManager);
    const victims = await Promise.all(
      Array.from({ length: 3 }, async (_, n) => {
        const client = await connect(port);
        client.request('GET', '/markers', { ...EVENT_STREAM, 'x-user': `victim ${n}` });
        await client.waitFor(`marker of victim ${n}`);
        return committedIdOf(client.body) as string;
      }),
    );
    return { app, port, manager, victims };
  }

  /** What came of a request, told from its events. */
  async function answerOf(port: number, request: Buffer): Promise<{ status: number; data: string[] }> {
    const client = await connect(port);
    client.socket.write(request);
    const { status, body } = await client.whole();
    void client.fin();
    return { status, data: blocksOf(body).flatMap(({ data }) => data ?? []) };
  }

  function requestWith(lines: (string | Buffer)[], path = '/markers'): Buffer {
    const head = [`GET ${path} HTTP/1.1`, 'Host: x', 'Accept: text/event-stream', 'x-user: fuzz', ...lines];
    return Buffer.concat([...head.flatMap((line) => [Buffer.from(line), Buffer.from('\r\n')]), Buffer.from('\r\n')]);
  }

  const headerOf = (value: Buffer): Buffer => Buffer.concat([Buffer.from('Last-Event-ID: '), value]);

  it(`is never a 500 and never another's events: ${VALUES} values`, async () => {
    const { port, manager, victims } = await start();
    const seen = new Map<string, number>();
    const own: string[] = [];
    const one = async (): Promise<void> => {
      const value = pick(GARBAGE)([...victims, ...own]);
      const { status, data } = await answerOf(port, requestWith([headerOf(value)]));
      const isOwn = data.every((each) => each === 'marker of fuzz' || /^\{"reason":"\w+"\}$/.test(each));
      const isRight = (status === 200 || status === 204) && isOwn;
      if (!isRight) throw new Error(`${status} ${JSON.stringify(data)} for ${value.toString('hex')} (${value.toString('latin1')})`);
      const what = status === 204 ? '204' : (data[0] as string);
      seen.set(what, (seen.get(what) ?? 0) + 1);
    };
    // ids of its own that are over, too
    const first = await connect(port);
    own.push(committedIdOf((await first.request('GET', '/markers', { ...EVENT_STREAM, 'x-user': 'fuzz' }).whole()).body) as string);
    own.push((own[0] as string).replace(/:.*/, ':0'));
    for (let n = 0; n < VALUES; n += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, one));
    // all that there is was met: a token that is unknown, what is no id, an end, the rest of one that is over, a position in the future
    expect([...seen.keys()].sort()).toEqual(
      ['204', 'marker of fuzz', ...['future', 'malformed', 'unknown'].map((reason) => `{"reason":"${reason}"}`)].sort(),
    );
    await eventually(() => manager.size === victims.length);
    expect(manager.stats().sessions).toEqual({ connecting: 0, open: victims.length, detached: 0, closing: 0 });
    for (const session of manager) expect(session).toMatchObject({ connections: 1, eventsSent: 1 });
  });

  const MALFORMED = ['{"reason":"malformed"}', 'marker of fuzz'];
  const NONE = ['marker of fuzz'];
  it.each<[string, (valid: string) => string[], string[]]>([
    ['twice', (valid) => [`Last-Event-ID: ${valid}`, `Last-Event-ID: ${valid}`], MALFORMED],
    ['empty', () => ['Last-Event-ID:'], NONE],
    ['blank', () => ['Last-Event-ID:   \t '], NONE],
    ['of 15 KB', () => [`Last-Event-ID: ${'x'.repeat(15_000)}`], MALFORMED],
  ])('is harmless %s', async (_what, lines, expected) => {
    const { port, victims } = await start();
    expect(await answerOf(port, requestWith(lines(victims[0] as string)))).toEqual({ status: 200, data: expected });
  });

  it.each<[string, string[]]>([
    ['lastEventId=a&lastEventId=b', MALFORMED],
    ['lastEventId[token]=a', NONE],
    ['lastEventId[]=a', NONE],
    ['lastEventId=', NONE],
    ['lastEventId=%00%0d%0a:%ff1', MALFORMED],
    ['lastEventId=%E0%A4%A', MALFORMED],
  ])('is harmless as the query %s', async (query, expected) => {
    const { port } = await start();
    expect(await answerOf(port, requestWith([], `/markers?${query}`))).toEqual({ status: 200, data: expected });
  });

  it('that Node itself refuses makes no session', async () => {
    const { port, manager, victims } = await start();
    const { status } = await answerOf(port, requestWith([`Last-Event-ID: ${'x'.repeat(20_000)}`]));
    expect(status).toBe(431);
    const nul = await connect(port);
    nul.socket.write(requestWith([`Last-Event-ID: a\0b`]));
    await nul.closed;
    expect(nul.received).toMatch(/^HTTP\/1\.1 400 /);
    expect(manager.size).toBe(victims.length);
  });
});
