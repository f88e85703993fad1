import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../../lib/clock/clock.js';
import type { SessionDirectory, SessionHost } from '../../lib/resume/session-directory.js';
import type { LogAddress, SessionLog } from '../../lib/resume/session-log.js';
import { FakeClock } from '../../lib/testing/fake-clock.js';
import { numbered } from './session-logs.js';

/** One directory for each node of the engine; the first is where the sessions of the tests live. */
export type MakeNodes = (clock: Clock) => [SessionDirectory, ...SessionDirectory[]];

const LIMITS = { maxEvents: 100, maxBytes: 100_000 };
const ADDRESS: LogAddress = { principal: 'ann', key: 'answer', route: 'GET /chat', path: '/chat' };
const REMEMBERED_MS = 10 * 60_000;

/** What every engine of a {@link SessionDirectory} does, on each of its nodes, whether its answers come at once or later. */
export function describeSessionDirectory(engine: string, makeNodes: MakeNodes): void {
  describe(`A session directory (${engine})`, () => {
    let clock: FakeClock;
    let nodes: [SessionDirectory, ...SessionDirectory[]];
    let opened = 0;

    beforeEach(() => {
      clock = new FakeClock();
      nodes = makeNodes(clock);
      opened = 0;
    });

    /** How many readers elsewhere the session was told of, the newest last; `cancel` when it was to end. */
    const host = (told: (number | 'cancel')[] = []): SessionHost => ({
      cancel: () => told.push('cancel'),
      onReadersElsewhere: (count) => told.push(count),
    });

    function open(address: Partial<LogAddress> = {}, told?: (number | 'cancel')[]): SessionLog {
      return nodes[0].open(`session ${opened++}`, { ...ADDRESS, ...address }, LIMITS, host(told));
    }

    function end(log: SessionLog): void {
      nodes[0].end(log, { after: 'stop', reset: 'ended', at: clock.now() });
      log.close();
    }

    /** What a client that comes to any node would find: all nodes say the same. */
    async function found(ask: (node: SessionDirectory) => SessionLog | undefined | Promise<SessionLog | undefined>) {
      const answers = await Promise.all(nodes.map(async (node) => ask(node)));
      const seen = answers.map(
        (log) => log && { id: log.sessionId, tail: log.tail, first: log.at(1)?.text, isOver: log.ending !== undefined },
      );
      for (const other of seen) expect(other).toEqual(seen[0]);
      return seen[0];
    }

    const find = (token: string) => found((node) => node.find(token));
    const findByKey = (address: Partial<LogAddress> = {}) => found((node) => node.findByKey({ ...ADDRESS, ...address }));

    it('gives each session a secret of its own, of 22 characters', () => {
      const logs = Array.from({ length: 100 }, () => open());
      expect(new Set(logs.map(({ token }) => token)).size).toBe(100);
      for (const { token, sessionId } of logs) {
        expect(token).toMatch(/^[\w-]{22}$/);
        expect(token).not.toContain(sessionId);
      }
    });

    it('finds a live session by its token, with all that it has sent, and no other', async () => {
      const log = open();
      log.append(numbered(1));
      log.append(numbered(2));
      expect(await find(log.token)).toEqual({ id: 'session 0', tail: 2, first: numbered(1).text, isOver: false });
      expect(await find('x'.repeat(22))).toBeUndefined();
    });

    it('says who may read it', async () => {
      const { token } = open();
      for (const node of nodes) expect((await node.find(token))?.address).toEqual(ADDRESS);
    });

    it('finds by the key the newest of the live ones, of the same principal, route and path', async () => {
      open();
      const newest = open();
      const others: Partial<LogAddress>[] = [{ principal: 'bob' }, { key: 'other' }, { route: 'POST /chat' }, { path: '/chat/2' }];
      for (const other of others) expect(await findByKey(other)).toBeUndefined();
      const logs = others.map((other) => open(other));
      for (const [n, other] of others.entries()) expect(await findByKey(other)).toMatchObject({ id: logs[n]!.sessionId });
      expect(await findByKey()).toMatchObject({ id: newest.sessionId });
    });

    it('finds by the key nothing without a principal or without a key: then it is nobody’s name', async () => {
      for (const nobody of [{ principal: undefined }, { key: undefined }]) {
        open(nobody);
        expect(await findByKey(nobody)).toBeUndefined();
      }
    });

    it('finds by the key nothing that has ended, but a newer one that has not', async () => {
      const log = open();
      const newer = open();
      end(log);
      expect(await findByKey()).toMatchObject({ id: newer.sessionId });
      end(newer);
      expect(await findByKey()).toBeUndefined();
    });

    it('takes no two names for one that only look the same when they are joined', async () => {
      open({ principal: 'a","b', key: 'c' });
      expect(await findByKey({ principal: 'a', key: 'b","c' })).toBeUndefined();
    });

    it('remembers how a session has ended, and what it has sent, for 10 minutes and no longer', async () => {
      const log = open();
      log.append(numbered(1));
      end(log);
      clock.advance(REMEMBERED_MS - 1);
      for (const node of nodes) node.expire();
      expect(await find(log.token)).toEqual({ id: 'session 0', tail: 1, first: numbered(1).text, isOver: true });
      for (const node of nodes) expect((await node.find(log.token))?.ending).toMatchObject({ after: 'stop', reset: 'ended' });
      clock.advance(1);
      // also before the cleanup job comes
      expect(await find(log.token)).toBeUndefined();
      for (const node of nodes) node.expire();
      expect(await find(log.token)).toBeUndefined();
    });

    it('expires none with it that has ended later', async () => {
      const [old, young] = [open(), open()];
      end(old);
      clock.advance(1_000);
      end(young);
      clock.advance(REMEMBERED_MS - 1_000);
      for (const node of nodes) node.expire();
      expect(await find(old.token)).toBeUndefined();
      expect(await find(young.token)).toMatchObject({ isOver: true });
    });

    it('remembers the first end of a session, and none of one that was forgotten', async () => {
      const log = open();
      end(log);
      nodes[0].end(log, { after: 'restart', reset: undefined, at: clock.now() });
      for (const node of nodes) expect((await node.find(log.token))?.ending).toMatchObject({ after: 'stop' });
      const forgotten = open();
      nodes[0].forget(forgotten);
      expect(await find(forgotten.token)).toBeUndefined();
      expect(await findByKey()).toBeUndefined();
      end(forgotten);
      expect(await find(forgotten.token)).toBeUndefined();
    });

    it('tells a session of who reads it on other nodes, as they come and go', async () => {
      const told: (number | 'cancel')[] = [];
      const log = open({}, told);
      const elsewhere = nodes.slice(1);
      const stops: (() => void)[] = [];
      for (const node of elsewhere) {
        const theirs = await node.find(log.token);
        stops.push(node.read(theirs!));
        await settle();
      }
      for (const stop of stops) {
        stop();
        await settle();
      }
      const up = elsewhere.map((_, n) => n + 1);
      expect(told).toEqual([...up, ...[...up].reverse().map((count) => count - 1)]);
      nodes[0].read(log)();
      await settle();
      expect(told).toHaveLength(2 * elsewhere.length);
    });

    it('ends a session from any other node, one or all that match, and none of its own', async () => {
      for (const node of nodes.slice(1)) {
        const told: (number | 'cancel')[][] = [[], [], []];
        const logs = [open({ key: 'one' }, told[0]), open({ key: 'two' }, told[1]), open({ principal: 'bob' }, told[2])];
        const [one] = logs as [SessionLog];
        expect(await node.cancel(one.sessionId)).toBe(true);
        expect(told).toEqual([['cancel'], [], []]);
        end(one);
        expect(await node.cancel(one.sessionId)).toBe(false);
        expect(await node.cancelAll({ principal: 'ann' })).toBe(1);
        expect(told).toEqual([['cancel'], ['cancel'], []]);
        expect(await node.cancelAll({ principal: 'ann', key: 'three' })).toBe(0);
        expect(await node.cancelAll({})).toBe(2);
        for (const log of logs.slice(1)) end(log);
      }
      expect(await nodes[0].cancel(open().sessionId)).toBe(false);
      expect(await nodes[0].cancelAll({})).toBe(0);
    });

    it('holds nothing when all is over', async () => {
      const before = nodes.map(({ held }) => held.bytes);
      const logs = Array.from({ length: 30 }, (_, n) => open(n % 2 ? {} : { key: undefined }));
      for (const [n, log] of logs.entries()) {
        for (let event = 0; event <= n % 5; event++) log.append(numbered(event, 1_000));
        if (n % 3 === 0) nodes[0].forget(log);
        else end(log);
      }
      expect(nodes[0].held.ended).toBe(20);
      expect(nodes[0].held.bytes).toBeGreaterThan(before[0]! + 20_000);
      clock.advance(REMEMBERED_MS);
      for (const node of nodes) node.expire();
      expect(nodes.map(({ held }) => held)).toEqual(before.map((bytes) => ({ ended: 0, bytes })));
      expect(await findByKey()).toBeUndefined();
    });
  });
}

/** Longer than an engine of the tests takes. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}
