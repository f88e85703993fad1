import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EventLog, LogLimits, Loggable, Position } from '../../lib/log/event-log.js';
import { FakeClock } from '../../lib/testing/fake-clock.js';

/** An event of a test: what a log holds of it is the object itself. */
export class TestEvent implements Loggable {
  declare readonly topic?: string;
  logs = 0;
  readonly memoryBytes: number;

  constructor(
    readonly name: string,
    readonly byteLength = 10,
    topic?: string,
  ) {
    this.memoryBytes = 128 + byteLength;
    if (topic !== undefined) this.topic = topic;
  }
}

export type MakeLog = (epoch: string, limits: LogLimits, now: () => number) => EventLog<TestEvent>;

const WHOLE = 1_000_000;
const UNLIMITED = { maxBytes: WHOLE };

/** What every engine of an {@link EventLog} does, whether its answers come at once or later. */
export function describeEventLog(engine: string, makeLog: MakeLog): void {
  describe(`An event log (${engine})`, () => {
    let clock: FakeClock;

    beforeEach(() => {
      clock = new FakeClock();
    });

    const create = (limits: LogLimits = UNLIMITED) => makeLog('epoch', limits, () => clock.now());

    async function append(log: EventLog<TestEvent>, ...names: string[]): Promise<Position[]> {
      const positions: Position[] = [];
      for (const name of names) positions.push(await log.append(eventOf(name)));
      return positions;
    }

    /** `a`: an event of 10 bytes without a topic; `sport/a`: one of the topic `sport`; `a*25`: one of 25 bytes. */
    function eventOf(description: string): TestEvent {
      const [path = '', size = '10'] = description.split('*');
      const [topic, name] = path.includes('/') ? path.split('/') : [undefined, path];
      return new TestEvent(name, Number(size), topic);
    }

    async function read(log: EventLog<TestEvent>, after: Position, maxBytes = WHOLE) {
      const { events, reached, isTrimmed } = await log.read(after, maxBytes);
      return { names: events.map(({ name }) => name).join(' '), reached, isTrimmed };
    }

    it('has an epoch, and begins empty', async () => {
      const log = create();
      expect(log.epoch).toBe('epoch');
      expect(await log.tail()).toBe(0);
      expect(await read(log, 0)).toEqual({ names: '', reached: 0, isTrimmed: false });
      expect(await log.trimmedUpTo()).toBe(0);
      expect(await log.trimmedUpTo('any')).toBe(0);
      expect(await log.positionBefore(['any'], 5)).toBe(0);
    });

    it('gives events the positions 1, 2, 3, ... without holes, whatever their topics', async () => {
      const log = create();
      expect(await append(log, 'a', 'sport/b', 'c', 'news/d')).toEqual([1, 2, 3, 4]);
      expect(await log.tail()).toBe(4);
    });

    it('gives positions in the order of the calls, also when nobody waits for the answers', async () => {
      const log = create();
      const positions = ['a', 'b', 'c'].map(async (name) => log.append(eventOf(name)));
      expect(await Promise.all(positions)).toEqual([1, 2, 3]);
      expect(await read(log, 0)).toMatchObject({ names: 'a b c' });
    });

    it('reads what stands after a position, in order', async () => {
      const log = create();
      await append(log, 'a', 'b', 'c');
      expect(await read(log, 0)).toEqual({ names: 'a b c', reached: 3, isTrimmed: false });
      expect(await read(log, 2)).toEqual({ names: 'c', reached: 3, isTrimmed: false });
      expect(await read(log, 3)).toEqual({ names: '', reached: 3, isTrimmed: false });
    });

    it('has nothing after a position in the future', async () => {
      const log = create();
      await append(log, 'a', 'b');
      expect(await read(log, 7)).toEqual({ names: '', reached: 7, isTrimmed: false });
    });

    it('reads pages of at most so many bytes, but one event at least', async () => {
      const log = create();
      await append(log, 'a', 'b', 'c*25', 'd');
      expect(await read(log, 0, 20)).toEqual({ names: 'a b', reached: 2, isTrimmed: false });
      expect(await read(log, 0, 19)).toEqual({ names: 'a', reached: 1, isTrimmed: false });
      expect(await read(log, 2, 20)).toEqual({ names: 'c', reached: 3, isTrimmed: false });
      expect(await read(log, 3, 1)).toEqual({ names: 'd', reached: 4, isTrimmed: false });
    });

    it('gives back what it was given', async () => {
      const log = create();
      const event = new TestEvent('a', 10, 'sport');
      await log.append(event);
      const { events } = await log.read(0, WHOLE);
      expect(events[0]).toMatchObject({ name: 'a', byteLength: 10, topic: 'sport' });
    });

    it('trims the oldest above maxEvents', async () => {
      const log = create({ maxBytes: WHOLE, maxEvents: 2 });
      await append(log, 'a', 'b', 'c');
      expect(await read(log, 0)).toEqual({ names: 'b c', reached: 3, isTrimmed: true });
      expect(await read(log, 1)).toEqual({ names: 'b c', reached: 3, isTrimmed: false });
      expect(await log.trimmedUpTo()).toBe(1);
    });

    it('trims the oldest above maxBytes, as many as it takes', async () => {
      const log = create({ maxBytes: 30 });
      await append(log, 'a', 'b', 'c');
      expect(await read(log, 0)).toMatchObject({ names: 'a b c', isTrimmed: false });
      await append(log, 'd*15');
      expect(await read(log, 0)).toEqual({ names: 'c d', reached: 4, isTrimmed: true });
    });

    it('keeps an event that alone is larger than maxBytes until the next', async () => {
      const log = create({ maxBytes: 30 });
      await append(log, 'a', 'b*99');
      expect(await read(log, 0)).toEqual({ names: 'b', reached: 2, isTrimmed: true });
      await append(log, 'c');
      expect(await read(log, 0)).toEqual({ names: 'c', reached: 3, isTrimmed: true });
    });

    it('trims what is older than maxAgeMs, when it is told to and with every append', async () => {
      const log = create({ maxBytes: WHOLE, maxAgeMs: 100 });
      await append(log, 'a');
      clock.advance(60);
      await append(log, 'b');
      clock.advance(40);
      log.trim();
      expect(await read(log, 0)).toMatchObject({ names: 'a b' });
      clock.advance(1);
      log.trim();
      expect(await read(log, 0)).toEqual({ names: 'b', reached: 2, isTrimmed: true });
      clock.advance(60);
      await append(log, 'c');
      expect(await read(log, 0)).toEqual({ names: 'c', reached: 3, isTrimmed: true });
    });

    it('knows its tail when all was trimmed, and goes on from there', async () => {
      const log = create({ maxBytes: WHOLE, maxAgeMs: 100 });
      await append(log, 'a', 'sport/b');
      clock.advance(101);
      log.trim();
      expect(await log.tail()).toBe(2);
      expect(await read(log, 0)).toEqual({ names: '', reached: 0, isTrimmed: true });
      expect(await read(log, 2)).toEqual({ names: '', reached: 2, isTrimmed: false });
      expect(await log.positionBefore(['sport'], 1)).toBe(2);
      expect(await append(log, 'c')).toEqual([3]);
      expect(await read(log, 0)).toEqual({ names: 'c', reached: 3, isTrimmed: true });
    });

    it('knows up to where it was trimmed, of each topic', async () => {
      const log = create({ maxBytes: WHOLE, maxEvents: 2 });
      await append(log, 'sport/a', 'news/b', 'sport/c', 'd', 'e', 'weather/f');
      expect(await log.trimmedUpTo()).toBe(4);
      expect(await log.trimmedUpTo('sport')).toBe(3);
      expect(await log.trimmedUpTo('news')).toBe(2);
      expect(await log.trimmedUpTo('weather')).toBe(0);
    });

    it('is never too low for topics that were trimmed long ago, nor does it reach what the log still has', async () => {
      const log = create({ maxBytes: WHOLE, maxEvents: 1 });
      const topics = Array.from({ length: 10_010 }, (_, n) => `topic-${n}`);
      const positions = await Promise.all(topics.map(async (topic) => log.append(new TestEvent(topic, 10, topic))));
      const first = positions.slice(0, 12);
      for (const [n, position] of first.entries()) {
        const upTo = await log.trimmedUpTo(`topic-${n}`);
        expect(upTo).toBeGreaterThanOrEqual(position);
        expect(upTo).toBeLessThan(10_010);
      }
      expect(await log.trimmedUpTo('topic-10008')).toBe(10_009);
    });

    it('finds where the last events of some topics begin', async () => {
      const log = create();
      await append(log, 'sport/a', 'news/b', 'sport/c', 'weather/d', 'news/e', 'sport/f', 'g');
      expect(await log.positionBefore(['sport'], 1)).toBe(5);
      expect(await log.positionBefore(['sport'], 2)).toBe(2);
      expect(await log.positionBefore(['sport'], 3)).toBe(0);
      expect(await log.positionBefore(['sport', 'news'], 2)).toBe(4);
      expect(await log.positionBefore(['sport', 'news'], 4)).toBe(1);
      expect(await log.positionBefore(['weather'], 1_000)).toBe(3);
      expect(await log.positionBefore(['nothing'], 1)).toBe(7);
    });

    it('finds only what it still has', async () => {
      const log = create({ maxBytes: WHOLE, maxEvents: 3 });
      await append(log, 'sport/a', 'sport/b', 'news/c', 'sport/d', 'news/e');
      expect(await log.positionBefore(['sport'], 5)).toBe(3);
      expect(await log.positionBefore(['sport', 'news'], 5)).toBe(2);
      await append(log, 'f', 'g');
      expect(await log.positionBefore(['sport'], 1)).toBe(7);
    });

    describe('when it is followed', () => {
      const told = (log: EventLog<TestEvent>, into: string[] = []) => ({
        into,
        stop: log.follow((event, position) => into.push(`${position} ${event.name}`)),
      });

      const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

      it('tells of what is appended from then on, in order', async () => {
        const log = create();
        await append(log, 'a');
        const { into } = told(log);
        await append(log, 'b', 'sport/c');
        await settled();
        expect(into).toEqual(['2 b', '3 c']);
      });

      it('tells of events that are trimmed at once', async () => {
        const log = create({ maxBytes: 1 });
        const { into } = told(log);
        await append(log, 'a*50', 'b*50');
        await settled();
        expect(into).toEqual(['1 a', '2 b']);
      });

      it('tells nobody who has stopped', async () => {
        const log = create();
        const [one, other] = [told(log), told(log)];
        await append(log, 'a');
        await settled();
        one.stop();
        one.stop();
        await append(log, 'b');
        await settled();
        expect([one.into, other.into]).toEqual([['1 a'], ['1 a', '2 b']]);
      });

      it('takes a listener that stops itself, or another, while it is told', async () => {
        const log = create();
        const seen: string[] = [];
        const stops: (() => void)[] = [];
        const follow = (name: string, act: () => void) =>
          stops.push(
            log.follow((event) => {
              seen.push(`${name} ${event.name}`);
              act();
            }),
          );
        follow('first', () => stops[0]?.());
        follow('second', () => stops[2]?.());
        follow('third', () => undefined);
        follow('fourth', () => undefined);
        await append(log, 'a', 'b');
        await settled();
        expect(seen).toEqual(['first a', 'second a', 'fourth a', 'second b', 'fourth b']);
      });

      it('tells everybody in order, also when a listener appends in turn', async () => {
        const log = create();
        const answers: Promise<Position>[] = [];
        log.follow((event) => {
          if (event.name.length < 3) answers.push(Promise.resolve(log.append(new TestEvent(`${event.name}+`))));
        });
        const { into } = told(log);
        await append(log, 'a');
        await settled();
        expect(into).toEqual(['1 a', '2 a+', '3 a++']);
        expect(await Promise.all(answers)).toEqual([2, 3]);
      });
    });
  });
}
