import { describe, expect, it, jest } from '@jest/globals';
import { readEvent } from '../../../lib/event/read-event.js';
import { SseEvent, type SseEventInit, sseEvent } from '../../../lib/event/sse-event.js';
import { serializeJson } from '../../../lib/event/serialize.js';

const INVALID_EVENT = expect.objectContaining({ name: 'SseSessionError', code: 'INVALID_EVENT' });

function wire(event: SseEvent): string {
  return SseEvent.encoded(event).text;
}

describe('sseEvent', () => {
  it('makes an event of all its fields', () => {
    const event = sseEvent({ data: 'a', type: 't', id: '1', retry: 5, comment: 'c' });
    expect(event).toBeInstanceOf(SseEvent);
    expect({ ...event }).toEqual({ data: 'a', type: 't', id: '1', retry: 5, comment: 'c' });
    expect(wire(event)).toBe(': c\nretry: 5\nevent: t\ndata: a\nid: 1\n\n');
  });

  it('has only the fields that it was given', () => {
    expect(Object.keys(sseEvent({ data: 'a', type: undefined, id: undefined }))).toEqual(['data']);
  });

  it('is immutable', () => {
    const event = sseEvent({ data: 'a' }) as { data?: string; id?: string };
    expect(Object.isFrozen(event)).toBe(true);
    expect(() => (event.data = 'b')).toThrow(TypeError);
    expect(() => (event.id = '1')).toThrow(TypeError);
    expect(() => delete event.data).toThrow(TypeError);
  });

  it('is encoded once, when it is made: later changes of its data do not show, and every reader has the same bytes', () => {
    const data = { toJSON: jest.fn(() => 1) };
    const event = sseEvent({ data });
    const reading = { emit: 'event', serializer: serializeJson } as const;
    expect(readEvent(event, reading)).toBe(readEvent(event, { ...reading, emit: 'payload' }));
    expect(data.toJSON).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['a string', 'text', 'text'],
    ['an empty string', '', ''],
    ['an object', { a: 1 }, '{"a":1}'],
    ['an array', [1, 'b'], '[1,"b"]'],
    ['a number', 0, '0'],
    ['a boolean', false, 'false'],
    ['null', null, 'null'],
    ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ])('takes %s as data', (_, data, text) => {
    expect(sseEvent({ data }).data).toBe(text);
  });

  it('takes a number as the text of an id', () => {
    expect(sseEvent({ data: '', id: 0 }).id).toBe('0');
    expect(sseEvent({ data: '', id: 42.5 }).id).toBe('42.5');
  });

  it('takes an empty type for none, and keeps an empty id', () => {
    expect({ ...sseEvent({ data: '', type: '', id: '' }) }).toEqual({ data: '', id: '' });
  });

  it('takes a retry of 0', () => {
    expect(wire(sseEvent({ retry: 0 }))).toBe('retry: 0\n');
  });

  it.each(['\r', '\n', '\0', '\r\n'])('refuses %j in an id and in a type, and strips nothing', (character) => {
    for (const text of [character, `a${character}`, `a${character}b`]) {
      expect(() => sseEvent({ data: '', id: text })).toThrow(INVALID_EVENT);
      expect(() => sseEvent({ data: '', type: text })).toThrow(INVALID_EVENT);
    }
  });

  it.each([-1, 1.5, NaN, Infinity, '100', null, 2 ** 53, true])('refuses %p as a retry, which is no whole number', (retry) => {
    expect(() => sseEvent({ data: '', retry: retry as number })).toThrow(INVALID_EVENT);
  });

  it.each([
    ['an id that is an object', { data: '', id: {} }],
    ['an id that is null', { data: '', id: null }],
    ['an id that is no finite number', { data: '', id: NaN }],
    ['an id that is a bigint', { data: '', id: 1n }],
    ['a type that is a number', { data: '', type: 5 }],
    ['a comment that is no string', { comment: 5 }],
    ['an unknown field', { data: '', event: 'x' }],
    ['no field at all', {}],
    ['fields that are all undefined', { data: undefined, id: undefined }],
    ['a type without data, which no client dispatches', { type: 'ping' }],
    ['a string', 'text'],
    ['null', null],
    ['nothing', undefined],
  ])('refuses %s', (_, init) => {
    expect(() => sseEvent(init as SseEventInit)).toThrow(INVALID_EVENT);
  });

  it('says what it got and what it expects', () => {
    expect(() => sseEvent({ data: '', type: 'a\nb' })).toThrow('The type of an event is "a\\nb"; expected no CR, LF or NUL.');
    expect(() => sseEvent({ data: '', retry: 1.5 })).toThrow(/retry.*1\.5.*whole number/);
    expect(() => sseEvent({ event: 'x' } as SseEventInit)).toThrow(/"event".*data, type, id, retry or comment/);
  });

  it.each([
    [
      'a cycle',
      (() => {
        const cycle: { self?: unknown } = {};
        cycle.self = cycle;
        return cycle;
      })(),
    ],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    [
      'a toJSON that throws',
      {
        toJSON() {
          throw new Error('no');
        },
      },
    ],
  ])('refuses data that is no JSON: %s', (_, data) => {
    expect(() => sseEvent({ data })).toThrow(expect.objectContaining({ code: 'SERIALIZATION_FAILED' }));
  });

  it('keeps what the serialization threw as the cause', () => {
    const cause = new Error('no');
    expect(() =>
      sseEvent({
        data: {
          toJSON: () => {
            throw cause;
          },
        },
      }),
    ).toThrow(expect.objectContaining({ cause }));
  });
});

describe('An event that is given an id', () => {
  it.each<SseEventInit>([
    { data: 'a' },
    { data: '' },
    { data: { text: 'longer than what is copied' } },
    { data: 'one\ntwo\r\nthree\rfour\n' },
    { data: 'data: id: 1' },
    { data: '€ 😀', type: 'ü', retry: 5, comment: 'two\nlines' },
  ])('is what it would be if it had been made with it: %j', (init) => {
    const [spliced, whole] = [SseEvent.withId(sseEvent(init), 'epoch-01:42'), sseEvent({ ...init, id: 'epoch-01:42' })];
    expect({ ...spliced }).toEqual({ ...whole });
    expect(Object.isFrozen(spliced)).toBe(true);
    expect({ ...SseEvent.encoded(spliced) }).toEqual({ ...SseEvent.encoded(whole) });
  });
});
