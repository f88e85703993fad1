import { describe, expect, it } from '@jest/globals';
import { sseEvent } from '../../../lib/event/sse-event.js';
import { ChannelClient, ENGINES, createChannels, settle } from '../../support/channels.js';

const [[, makeLog]] = ENGINES as [(typeof ENGINES)[0]];
const { channels, log } = createChannels(makeLog);

const invalidChannel = (message: string) =>
  expect.objectContaining({ name: 'SseSessionError', code: 'INVALID_CHANNEL', message: expect.stringContaining(message) as unknown });

describe('The name of a channel', () => {
  it.each([
    ['', '""'],
    [undefined, 'undefined'],
    [5, '5'],
    [{}, 'an object'],
    ['x'.repeat(257), '257 characters long'],
  ])('is refused: %p', (name, shown) => {
    const message = `The name of a channel is ${shown}; expected a string of 1 to 256 characters.`;
    expect(() => channels.channel(name as string)).toThrow(invalidChannel(message));
    expect(() => channels.stream(['fine', name as string])).toThrow(invalidChannel(message));
  });

  it.each(['a', 'x'.repeat(256), 'user:5/√ ünï', '__proto__', 'constructor'])('is taken: %p', async (name) => {
    const client = new ChannelClient(channels.channel(name).stream());
    expect(channels.channel(name)).toMatchObject({ name, size: 1 });
    await settle();
    await channels.channel(name).publish('hello');
    expect(client.data).toEqual(['hello']);
    client.leave();
  });

  it('is needed at least once', () => {
    expect(() => channels.stream([])).toThrow(
      invalidChannel('stream() got no channel, so it would never emit; expected at least one name.'),
    );
    for (const names of ['news', undefined, new Set(['a'])] as never[]) {
      expect(() => channels.stream(names)).toThrow(invalidChannel('expected an array of the names of channels.'));
    }
  });
});

describe('The options of a stream', () => {
  const BAD: [options: unknown, message: string][] = [
    [null, 'stream() got null; expected an object with after, replay.'],
    ['epoch:1', 'stream() got "epoch:1"; expected an object with after, replay.'],
    [{ from: 5 }, 'stream() got the unknown option "from"; expected after, replay.'],
    [{ after: 5 }, 'The after of a stream is 5; expected the id that @LastEventId() or position() gave, or undefined.'],
    [{ after: null }, 'The after of a stream is null; expected'],
    [{ after: ['a:1'] }, 'The after of a stream is an array; expected'],
    [{ replay: 0 }, 'The replay of a stream is 0; expected a whole number of events, 1 or more, or undefined for none.'],
    [{ replay: -1 }, 'The replay of a stream is -1; expected'],
    [{ replay: 1.5 }, 'The replay of a stream is 1.5; expected'],
    [{ replay: Infinity }, 'The replay of a stream is Infinity; expected'],
    [{ replay: '1' }, 'The replay of a stream is "1"; expected'],
    [{ replay: true }, 'The replay of a stream is true; expected'],
  ];

  it.each(BAD)('are refused: %j', (options, message) => {
    expect(() => channels.stream(['a'], options as never)).toThrow(invalidChannel(message));
    expect(() => channels.channel('a').stream(options as never)).toThrow(invalidChannel(message));
  });

  it.each([undefined, {}, { after: undefined, replay: undefined }, { after: 'anything' }, { replay: 1 }])('are taken: %j', (options) => {
    expect(() => channels.stream(['a'], options)).not.toThrow();
  });
});

describe('An event that is published', () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();

  const BAD: [name: string, event: unknown, code: string, message: RegExp][] = [
    ['undefined', undefined, 'INVALID_EVENT', /was undefined/],
    ['bytes', new Uint8Array(1), 'INVALID_EVENT', /was bytes; expected text or an object/],
    ['a promise', Promise.resolve(1), 'INVALID_EVENT', /was a promise; await it/],
    [
      'one with an id',
      { data: 'a', id: '7' },
      'INVALID_EVENT',
      /published to a channel has the id "7"; the channel gives every event an id/,
    ],
    ['one with an empty id', { data: 'a', id: '' }, 'INVALID_EVENT', /has the id ""/],
    ['an SseEvent with an id', sseEvent({ data: 'a', id: 7 }), 'INVALID_EVENT', /has the id "7"/],
    ['an SseEvent without data', sseEvent({ comment: 'c' }), 'INVALID_EVENT', /published to a channel has no data/],
    ['one whose data is undefined', { data: undefined }, 'INVALID_EVENT', /was undefined/],
    ['one with a line break in its type', { data: 'a', type: 'a\nb' }, 'INVALID_EVENT', /expected no CR, LF or NUL/],
    ['one that cannot be looked at', proxy, 'INVALID_EVENT', /cannot be read/],
    ['a cycle', cycle, 'SERIALIZATION_FAILED', /could not be serialized/],
    ['a bigint', { data: 1n }, 'SERIALIZATION_FAILED', /could not be serialized/],
    ['a function', () => 1, 'SERIALIZATION_FAILED', /expected a string/],
  ];

  it.each(BAD)('is refused before anybody has it: %s', async (_, event, code, message) => {
    const client = new ChannelClient(channels.channel('a').stream());
    await settle();
    const before = log.tail();
    const published = channels.channel('a').publish(event);
    await expect(published).rejects.toMatchObject({ name: 'SseSessionError', code, message: expect.stringMatching(message) as unknown });
    await settle();
    expect(log.tail()).toBe(before);
    expect(client.events).toEqual([]);
    client.leave();
  });

  it.each([
    ['text', 'text'],
    [{ id: 'chunk', choices: [] }, '{"id":"chunk","choices":[]}'],
    [null, 'null'],
    [5, '5'],
    [[1], '[1]'],
    ['', ''],
    [{ data: { a: 1 } }, '{"a":1}'],
  ])('is read as a source is: %j', async (event, data) => {
    const client = new ChannelClient(channels.channel('a').stream());
    await settle();
    await channels.channel('a').publish(event);
    expect(client.events[0]?.data).toBe(data);
    client.leave();
  });
});
