import { describe, expect, it, jest } from '@jest/globals';
import { map } from 'rxjs';
import { sseEvent } from '../../../lib/event/sse-event.js';
import { ChannelClient, ENGINES, EPOCH, createChannels, settle } from '../../support/channels.js';
import { turns } from '../../support/memory-session.js';
import { SlowLog } from '../../support/slow-log.js';

const KILOBYTE = 'x'.repeat(1_000);

describe.each(ENGINES)('Channels on a log %s', (engine, makeLog) => {
  const create = (limits = {}) => createChannels(makeLog, limits);
  type Made = ReturnType<typeof create>;

  /** `sport/a` is published to `sport` with the data `a`. */
  async function publish({ channels }: Made, ...events: string[]): Promise<string[]> {
    const ids: string[] = [];
    for (const event of events) {
      const [name = '', data] = event.split('/');
      ids.push(await channels.channel(name).publish(data));
    }
    return ids;
  }

  async function read(made: Made, names: string[], options = {}): Promise<ChannelClient> {
    const client = new ChannelClient(made.channels.stream(names, options));
    await settle();
    return client;
  }

  describe('publish', () => {
    it('gives ids that count the events of all channels', async () => {
      const made = create();
      expect(await publish(made, 'sport/a', 'news/b', 'sport/c')).toEqual([`${EPOCH}:1`, `${EPOCH}:2`, `${EPOCH}:3`]);
    });

    it('reaches those who read the channel, with the id that it gave', async () => {
      const made = create();
      const [sport, both, other] = [await read(made, ['sport']), await read(made, ['sport', 'news']), await read(made, ['weather'])];
      const ids = await publish(made, 'sport/a', 'news/b', 'sport/c');
      await settle();
      expect(sport.events.map(({ id, data }) => [id, data])).toEqual([
        [ids[0], 'a'],
        [ids[2], 'c'],
      ]);
      expect(both.data).toEqual(['a', 'b', 'c']);
      expect(other.events).toEqual([]);
    });

    it('does not reach who begins to read while it is handed round', async () => {
      const made = create();
      let late: ChannelClient | undefined;
      made.channels.stream(['sport']).subscribe(() => (late ??= new ChannelClient(made.channels.stream(['sport']))));
      await settle();
      await publish(made, 'sport/a');
      await settle();
      await publish(made, 'sport/b');
      await settle();
      expect(late?.data).toEqual(['b']);
    });

    it('keeps all fields of an event', async () => {
      const made = create();
      const client = await read(made, ['sport']);
      await made.channels.channel('sport').publish({ data: { goal: 1 }, type: 'goal', retry: 5, comment: 'c' });
      await made.channels.channel('sport').publish(sseEvent({ data: 'whole', type: 'made' }));
      await settle();
      expect(client.events.map((event) => ({ ...event }))).toEqual([
        { data: '{"goal":1}', type: 'goal', retry: 5, comment: 'c', id: `${EPOCH}:1` },
        { data: 'whole', type: 'made', id: `${EPOCH}:2` },
      ]);
    });

    it('is heard by whoever subscribed before it, however long the engine takes to begin', async () => {
      const made = create();
      await publish(made, 'sport/old');
      await settle();
      const client = new ChannelClient(made.channels.stream(['sport']));
      const published = publish(made, 'sport/new');
      await published;
      await settle();
      expect(client.data).toEqual(['new']);
    });

    it('keeps its order for all when a reader publishes in turn', async () => {
      const made = create();
      const channel = made.channels.channel<string>('sport');
      const answer = ({ data = '' }: { data?: string }) => void (data.length < 3 && channel.publish(`${data}+`));
      const clients = [new ChannelClient(channel.stream(), { onEvent: answer }), new ChannelClient(channel.stream())];
      await settle();
      await channel.publish('a');
      await settle();
      for (const client of clients) expect(client.data).toEqual(['a', 'a+', 'a++']);
    });
  });

  describe('a stream', () => {
    it('begins now', async () => {
      const made = create();
      await publish(made, 'sport/old');
      await settle();
      const client = await read(made, ['sport']);
      await publish(made, 'sport/new');
      await settle();
      expect(client.data).toEqual(['new']);
    });

    it('begins after an id, with what was missed', async () => {
      const made = create();
      const ids = await publish(made, 'sport/a', 'news/b', 'sport/c', 'sport/d');
      expect((await read(made, ['sport'], { after: ids[0] })).data).toEqual(['c', 'd']);
      expect((await read(made, ['sport'], { after: ids[1] })).data).toEqual(['c', 'd']);
      expect((await read(made, ['sport', 'news'], { after: ids[0] })).data).toEqual(['b', 'c', 'd']);
      expect((await read(made, ['sport'], { after: ids[3] })).data).toEqual([]);
      expect((await read(made, ['sport'], { after: `${EPOCH}:0` })).data).toEqual(['a', 'c', 'd']);
    });

    it('begins with the last events, and only without an id', async () => {
      const made = create();
      const ids = await publish(made, 'sport/a', 'news/b', 'sport/c', 'weather/d');
      expect((await read(made, ['sport'], { replay: 1 })).data).toEqual(['c']);
      expect((await read(made, ['sport', 'news'], { replay: 2 })).data).toEqual(['b', 'c']);
      expect((await read(made, ['sport'], { replay: 100 })).data).toEqual(['a', 'c']);
      expect((await read(made, ['nothing'], { replay: 1 })).data).toEqual([]);
      expect((await read(made, ['sport'], { replay: 2, after: ids[0] })).data).toEqual(['c']);
      expect((await read(made, ['sport'], { replay: 1, after: '' })).data).toEqual(['c']);
    });

    it('begins at a position that was asked for before a snapshot', async () => {
      const made = create();
      await publish(made, 'sport/old');
      const position = await made.channels.channel('sport').position();
      await publish(made, 'sport/meanwhile');
      expect((await read(made, ['sport'], { after: position })).data).toEqual(['meanwhile']);
      expect(position).toBe(`${EPOCH}:1`);
      expect(await create().channels.channel('sport').position()).toBe(`${EPOCH}:0`);
    });

    it('has one event once for a name that is given twice', async () => {
      const made = create();
      const client = await read(made, ['sport', 'sport']);
      await publish(made, 'sport/a');
      await settle();
      expect(client.data).toEqual(['a']);
      expect(made.channels.stats().streams).toBe(1);
    });

    it('is read anew by each who subscribes', async () => {
      const made = create();
      await publish(made, 'sport/a');
      const stream = made.channels.channel('sport').stream({ replay: 1 });
      const first = new ChannelClient(stream);
      await settle();
      first.pause();
      const second = new ChannelClient(stream);
      await publish(made, 'sport/b');
      await settle();
      expect([first.data, second.data]).toEqual([['a'], ['a', 'b']]);
    });

    it('is an Observable for whoever pipes it', async () => {
      const made = create();
      const seen: unknown[] = [];
      const subscription = made.channels
        .channel('sport')
        .stream()
        .pipe(map(({ data }) => `<${data}>`))
        .subscribe((value) => seen.push(value));
      await settle();
      await publish(made, 'sport/a');
      await settle();
      subscription.unsubscribe();
      await publish(made, 'sport/b');
      await settle();
      expect(seen).toEqual(['<a>']);
      expect(made.channels.stats().streams).toBe(0);
    });
  });

  describe('a reset', () => {
    const RESETS: [reason: string, after: string][] = [
      ['malformed', 'nonsense'],
      ['malformed', `${EPOCH}:-1`],
      ['malformed', `${EPOCH}:+1`],
      ['malformed', `${EPOCH}:1.5`],
      ['malformed', `${EPOCH}: 1`],
      ['malformed', `${EPOCH}:`],
      ['malformed', `${EPOCH}:1:2`],
      ['malformed', `${EPOCH}:01`],
      ['malformed', `${EPOCH}:9007199254740993`],
      ['malformed', `${EPOCH}:1\n`],
      ['malformed', ':1'],
      ['unknown', 'epoch-00:1'],
      ['unknown', 'AAAAAAAAAAAAAAAAAAAAAA:1'],
      ['future', `${EPOCH}:4`],
      ['future', `${EPOCH}:9007199254740991`],
    ];

    it.each(RESETS)('comes first, once, as %s for %j, then what the log has', async (reason, after) => {
      const made = create();
      await publish(made, 'sport/a', 'news/b', 'sport/c');
      const client = await read(made, ['sport'], { after });
      await publish(made, 'sport/d');
      await settle();
      expect(client.data).toEqual([`reset ${reason}`, 'a', 'c', 'd']);
      expect(client.events[0]).toMatchObject({ type: 'reset', id: `${EPOCH}:0` });
    });

    it('comes when events of the channels were trimmed after the position', async () => {
      const made = create({ maxEvents: 2 });
      const ids = await publish(made, 'sport/a', 'sport/b', 'news/c', 'sport/d', 'news/e');
      const client = await read(made, ['sport'], { after: ids[0] });
      expect(client.data).toEqual(['reset trimmed', 'd']);
      expect(client.offsets).toEqual([2, 4]);
    });

    it('does not come when only events of other channels were trimmed', async () => {
      const made = create({ maxEvents: 2 });
      const ids = await publish(made, 'sport/a', 'news/b', 'news/c', 'sport/d', 'news/e');
      expect((await read(made, ['sport'], { after: ids[0] })).data).toEqual(['d']);
      expect((await read(made, ['weather'], { after: `${EPOCH}:0` })).data).toEqual([]);
    });

    it('does not come when the last that was read is all that was trimmed', async () => {
      const made = create();
      const ids = await publish(made, 'sport/a', 'sport/b');
      made.clock.advance(60_001);
      made.channels.expire();
      expect(made.channels.stats()).toMatchObject({ events: 0, bytes: 0 });
      const client = await read(made, ['sport'], { after: ids[1] });
      await publish(made, 'sport/c');
      await settle();
      expect(client.data).toEqual(['c']);
      expect((await read(made, ['sport'], { after: ids[0] })).data).toEqual(['reset trimmed', 'c']);
    });

    it.each(['nonsense', 'epoch-00:7', `${EPOCH}:99`, `${EPOCH}:0`])(
      'leaves a client that is cut right after it with an id from which it misses nothing: %s',
      async (after) => {
        const made = create({ maxEvents: 3 });
        await publish(made, 'sport/a', 'news/b', 'sport/c', 'news/d', 'news/e', 'sport/f');
        const cut = new ChannelClient(made.channels.stream(['sport'], { after }), { onEvent: (_, client) => client.leave() });
        await settle();
        expect(cut.data).toEqual([expect.stringMatching(/^reset/)]);
        expect((await read(made, ['sport'], { after: cut.lastEventId })).data).toEqual(['f']);
      },
    );
  });

  describe('a reader that takes no more', () => {
    it('finds all that it has not taken in the log, in order and once', async () => {
      const made = create();
      const client = await read(made, ['sport']);
      await publish(made, 'sport/a');
      await settle();
      client.pause();
      await publish(made, 'sport/b', 'news/x', 'sport/c');
      await settle();
      expect(client.data).toEqual(['a']);
      client.resume();
      await publish(made, 'sport/d');
      await settle();
      await publish(made, 'sport/e');
      await settle();
      expect(client.data).toEqual(['a', 'b', 'c', 'd', 'e']);
    });

    it('stops in the middle of a page', async () => {
      const made = create();
      await publish(made, 'sport/a', 'sport/b', 'sport/c');
      const client = new ChannelClient(made.channels.stream(['sport'], { after: `${EPOCH}:0` }), {
        onEvent: ({ data }, reader) => void (data === 'b' && reader.pause()),
      });
      await settle();
      expect(client.data).toEqual(['a', 'b']);
      client.resume();
      await settle();
      expect(client.data).toEqual(['a', 'b', 'c']);
    });

    it('is told once when events of its channels were trimmed meanwhile', async () => {
      const made = create({ maxEvents: 2 });
      const client = (await read(made, ['sport'])).pause();
      await publish(made, 'sport/a', 'sport/b', 'news/x', 'sport/c');
      await settle();
      client.resume();
      await settle();
      await publish(made, 'sport/d');
      await settle();
      expect(client.data).toEqual(['reset trimmed', 'c', 'd']);
      expect(client.offsets).toEqual([2, 4, 5]);
    });

    it('is told of nothing when only events of other channels were trimmed meanwhile', async () => {
      const made = create({ maxEvents: 2 });
      const client = await read(made, ['sport']);
      await publish(made, 'news/x', 'news/y', 'news/z');
      client.pause();
      await publish(made, 'news/x', 'sport/a', 'sport/b');
      client.resume();
      await settle();
      expect(client.data).toEqual(['a', 'b']);
    });

    it('is told of nothing when it had heard all, long after the table of trimmed topics has forgotten its channel', async () => {
      const made = create({ maxEvents: 3 });
      const client = await read(made, ['sport']);
      await publish(made, 'sport/a');
      await settle();
      const others = Array.from({ length: 10_010 }, (_, n) => made.channels.channel(`other-${n}`).publish('x'));
      await Promise.all(others);
      await settle();
      client.pause();
      await publish(made, 'sport/b');
      await settle();
      client.resume();
      await settle();
      expect(client.data).toEqual(['a', 'b']);
    });

    it('gets its reset only when it takes more', async () => {
      const made = create();
      const client = new ChannelClient(made.channels.stream(['sport'], { after: 'nonsense' }), { isPaused: true });
      await publish(made, 'sport/a');
      await settle();
      expect(client.data).toEqual([]);
      client.resume();
      await settle();
      expect(client.data).toEqual(['reset malformed', 'a']);
    });
  });

  describe('catching up', () => {
    it('lets the event loop turn between pages, and misses nothing that is published meanwhile', async () => {
      const made = create({ maxBytes: 10_000_000 });
      const total = 1_000;
      for (let n = 0; n < total; n++) void made.channels.channel(n % 2 ? 'news' : 'sport').publish(`${n} ${KILOBYTE}`);
      await settle();
      let inTurn = 0;
      let most = 0;
      let published = 0;
      const client = new ChannelClient(made.channels.stream(['sport'], { after: `${EPOCH}:0` }), { onEvent: () => inTurn++ });
      for (let turn = 0; turn < 400; turn++) {
        if (turn % 7 === 0 && turn < 100) void made.channels.channel('sport').publish(`late ${published++}`);
        await turns(1);
        most = Math.max(most, inTurn);
        inTurn = 0;
      }
      const expected = [...Array.from({ length: total / 2 }, (_, n) => String(n * 2)), ...Array<string>(published).fill('late')];
      expect(client.data.map((data) => data.split(' ')[0])).toEqual(expected);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(65_536 / 1_000);
    });

    it('ends at once when the reader leaves', async () => {
      const made = create();
      await publish(made, 'sport/a', 'sport/b', 'sport/c');
      const client = new ChannelClient(made.channels.stream(['sport'], { after: `${EPOCH}:0` }), {
        onEvent: ({ data }, reader) => void (data === 'b' && reader.leave()),
      });
      await settle();
      expect(client.data).toEqual(['a', 'b']);
      expect(made.channels.channel('sport').size).toBe(0);
    });
  });

  describe('how many read', () => {
    it('is known of each channel and of all, and counts who is paused or catching up', async () => {
      const made = create();
      const { channels } = made;
      const clients = [
        new ChannelClient(channels.stream(['sport', 'news'])),
        new ChannelClient(channels.stream(['sport']), { isPaused: true }),
      ];
      expect([channels.channel('sport').size, channels.channel('news').size, channels.channel('weather').size]).toEqual([2, 1, 0]);
      expect(channels.stats()).toEqual({ streams: 2, events: 0, bytes: 0 });
      await publish(made, 'sport/a', 'weather/bb');
      expect(channels.stats()).toEqual({ streams: 2, events: 2, bytes: 'data: a\n\ndata: bb\n\n'.length });
      clients[0]?.leave();
      expect([channels.channel('sport').size, channels.channel('news').size]).toEqual([1, 0]);
      clients[1]?.leave();
      clients[1]?.leave();
      await settle();
      expect(channels.stats().streams).toBe(0);
    });
  });

  it('report what the engine fails with', async () => {
    const made = create();
    const live = await read(made, ['sport']);
    const failure = new Error('the engine is gone');
    jest.spyOn(made.log, 'tail').mockRejectedValue(failure);
    jest.spyOn(made.log, 'read').mockRejectedValue(failure);
    jest.spyOn(made.log, 'append').mockRejectedValue(failure);
    const client = await read(made, ['sport']);
    expect(client.error).toBe(failure);
    expect(live.error).toBeUndefined();
    expect(made.channels.channel('sport').size).toBe(1);
    await expect(made.channels.channel('sport').publish('a')).rejects.toBe(failure);
    await expect(made.channels.channel('sport').position()).rejects.toBe(failure);
  });
});

describe('Channels on a log that tells of events before it answers', () => {
  // `test/support/slow-log.ts` tells of them in the turn before it looks where to begin
  it.each([
    ['now', {}],
    ['with fewer of the last events', { replay: 1 }],
    ['with as many of them', { replay: 2 }],
    ['with one from before', { replay: 3 }],
  ])('a stream that begins %s has all that it has heard of', async (_, options) => {
    const { channels } = createChannels((...args) => new SlowLog(...args));
    const channel = channels.channel('sport');
    await channel.publish('before');
    const published = [channel.publish('a'), channel.publish('b')];
    const client = new ChannelClient(channel.stream(options));
    await Promise.all(published);
    await settle();
    expect(client.data).toEqual('replay' in options && options.replay === 3 ? ['before', 'a', 'b'] : ['a', 'b']);
  });
});
