import { createHook } from 'node:async_hooks';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { map } from 'rxjs';
import { ChannelEvent } from '../../../lib/channel/channel-event.js';
import { SseEvent, sseEvent } from '../../../lib/event/sse-event.js';
import { Cleanup } from '../../../lib/session/cleanup.js';
import { MemoryResponse } from '../../../lib/testing/memory-response.js';
import { ChannelClient, ENGINES, EPOCH, createChannels, settle } from '../../support/channels.js';
import { eventsOf } from '../../support/events.js';
import { MemoryApp, turns } from '../../support/memory-session.js';

const [[, makeLog]] = ENGINES as [(typeof ENGINES)[0]];
const create = (limits = {}) => createChannels(makeLog, limits);

afterEach(() => {
  jest.restoreAllMocks();
});

describe('An event of a channel', () => {
  it('reaches whoever takes it in the very call that publishes it, without a promise per reader', async () => {
    const { channels } = create();
    const channel = channels.channel('a');
    const clients = Array.from({ length: 100 }, () => new ChannelClient(channel.stream()));
    await settle();
    const made: string[] = [];
    const hook = createHook({ init: (_id, type) => void made.push(type) }).enable();
    const published = channel.publish('now');
    hook.disable();
    expect(clients.map(({ data }) => data)).toEqual(clients.map(() => ['now']));
    expect(made.length).toBeLessThan(10);
    await published;
  });

  it('is one object for all who read it, live or later, and encoded once', async () => {
    const { channels } = create();
    const channel = channels.channel('a');
    const live = Array.from({ length: 100 }, () => new ChannelClient(channel.stream()));
    await settle();
    const byteLength = jest.spyOn(Buffer, 'byteLength');
    const stringify = jest.spyOn(JSON, 'stringify');
    await channel.publish({ text: 'shared' });
    const late = Array.from({ length: 100 }, () => new ChannelClient(channel.stream({ after: `${EPOCH}:0` })));
    await settle();
    const encoded = byteLength.mock.calls.map(([text]) => text as string).filter((text) => text.includes('shared'));
    // its id is spliced in
    expect(encoded).toEqual(['data: {"text":"shared"}\n\n']);
    expect(live[0]?.events[0]).toMatchObject({ data: '{"text":"shared"}', id: `${EPOCH}:1` });
    expect(stringify.mock.results.filter(({ value }) => String(value).includes('shared'))).toHaveLength(1);
    expect(new Set([...live, ...late].map(({ events }) => events[0])).size).toBe(1);
  });

  it('that is an SseEvent already is not encoded again', async () => {
    const { channels } = create();
    const client = new ChannelClient(channels.channel('a').stream());
    await settle();
    const event = sseEvent({ data: 'made before', type: 't' });
    const byteLength = jest.spyOn(Buffer, 'byteLength');
    for (let times = 0; times < 2; times++) await channels.channel('a').publish(event);
    expect(byteLength.mock.calls.filter(([text]) => (text as string).includes('made before'))).toEqual([]);
    expect(client.events.map(({ id }) => id)).toEqual([`${EPOCH}:1`, `${EPOCH}:2`]);
    expect(event.id).toBeUndefined();
  });

  it('that nobody reads is given no id', async () => {
    const { channels } = create();
    const other = new ChannelClient(channels.channel('b').stream());
    const left = new ChannelClient(channels.channel('a').stream());
    await settle();
    left.leave();
    const withId = jest.spyOn(SseEvent, 'withId');
    await channels.channel('a').publish('unread');
    expect(withId).not.toHaveBeenCalled();
    expect(other.events).toEqual([]);
  });
});

describe('A session that is given the stream of a channel', () => {
  const PLAIN = { retryMs: false, buffer: { maxBytes: 100_000, overflow: 'close' } } as const;

  it('is paused when its client does not read, and misses nothing, however much is published', async () => {
    const { channels } = create({ maxBytes: 100_000_000 });
    const app = new MemoryApp();
    const { session, response } = app.stream(channels.channel('a').stream(), { options: PLAIN });
    await settle();
    response.pause();
    for (let n = 0; n < 2_000; n++) {
      await channels.channel('a').publish(`${n} ${'x'.repeat(1_000)}`);
      if (n % 100 === 0) await turns(1);
    }
    await settle();
    expect(session).toMatchObject({ state: 'open', eventsDropped: 0 });
    expect(session.pendingBytes).toBeLessThan(150_000);
    for (let turn = 0; turn < 500; turn++) {
      response.resume();
      await turns(1);
    }
    const events = eventsOf(response.received);
    expect(events.map(({ data }) => Number(data.split(' ')[0]))).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
    expect(events.at(-1)?.id).toBe(`${EPOCH}:2000`);
    expect(session.state).toBe('open');
  });

  it('takes half a megabyte that is published in one turn, in the turns that follow', async () => {
    const { channels } = create({ maxBytes: 100_000_000 });
    const { session, response } = new MemoryApp().stream(channels.channel('a').stream(), { options: PLAIN });
    await settle();
    for (let n = 0; n < 500; n++) void channels.channel('a').publish(`${n} ${'x'.repeat(1_000)}`);
    await turns(100);
    expect(session.state).toBe('open');
    expect(eventsOf(response.received)).toHaveLength(500);
  });

  it('is not paced once the stream is piped: then its buffer bounds it', async () => {
    const { channels } = create({ maxBytes: 100_000_000 });
    const piped = channels
      .channel('a')
      .stream()
      .pipe(map((event) => event));
    const { session, response } = new MemoryApp().stream(piped, { options: PLAIN });
    await settle();
    response.pause();
    for (let n = 0; n < 500; n++) await channels.channel('a').publish('x'.repeat(1_000));
    expect(session).toMatchObject({ closeReason: 'slow-client' });
  });

  it('reads no more from the moment it ends', async () => {
    const { channels } = create();
    const channel = channels.channel('a');
    const app = new MemoryApp();
    const stream = channel.stream();
    const clients = [app.stream(stream), app.stream(stream), app.stream(stream, { response: new MemoryResponse(1) })];
    await settle();
    clients[2]?.response.pause();
    await channel.publish('x');
    await channel.publish('y');
    expect(channel.size).toBe(3);
    clients[0]?.response.disconnect();
    expect(channel.size).toBe(2);
    clients[1]?.session.close();
    expect(channel.size).toBe(1);
    clients[2]?.session.cut('shutdown');
    expect(channel.size).toBe(0);
    await settle();
    await channel.publish('z');
    for (const { response } of clients) expect(response.received).not.toContain('z');
  });

  it('reads nothing from the log when it ends while it is paused, nor the rest of a page', async () => {
    const { channels, log } = create();
    const channel = channels.channel('a');
    await channel.publish('x');
    await channel.publish('y');
    const at = jest.spyOn(ChannelEvent.prototype, 'at');
    const read = jest.spyOn(log, 'read');
    const paused = new ChannelClient(channel.stream({ replay: 2 }), { isPaused: true });
    await settle();
    paused.leave();
    paused.resume();
    await settle();
    expect(read).not.toHaveBeenCalled();
    const leaving = new ChannelClient(channel.stream({ replay: 2 }), { onEvent: (_, client) => client.leave() });
    await settle();
    expect(leaving.data).toEqual(['x']);
    expect(at).toHaveBeenCalledTimes(1);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('that has left before its handler returned reads nothing', async () => {
    const { channels } = create();
    const client = new MemoryApp().connect();
    client.response.disconnect();
    client.session.consume(client.session.adopt(channels.channel('a').stream()));
    expect(channels.stats().streams).toBe(0);
  });
});

describe('The cleanup job', () => {
  it('trims events by their age, and ends no session for that', async () => {
    const { channels, clock } = create({ maxAgeMs: 1_000 });
    const app = new MemoryApp();
    const cleanup = new Cleanup(app.registry, () => channels.expire());
    const { session } = app.stream(channels.channel('a').stream());
    await channels.channel('a').publish('x');
    clock.advance(1_000);
    cleanup.run();
    expect(channels.stats().events).toBe(1);
    clock.advance(1);
    cleanup.run();
    expect(channels.stats()).toEqual({ streams: 1, events: 0, bytes: 0 });
    expect(session.closeReason).toBeUndefined();
  });
});
