import { describe, expect, it, jest } from '@jest/globals';
import { type Reading, readEvent, readFields } from '../../../lib/event/read-event.js';
import { serializeJson } from '../../../lib/event/serialize.js';
import { sseEvent } from '../../../lib/event/sse-event.js';

const EVENT: Reading = { emit: 'event', serializer: serializeJson };
const PAYLOAD: Reading = { emit: 'payload', serializer: serializeJson };
const INVALID_EVENT = expect.objectContaining({ name: 'SseSessionError', code: 'INVALID_EVENT' });

describe('readEvent', () => {
  it('takes an SseEvent as it is, however the route reads', () => {
    const event = sseEvent({ data: { a: 1 }, type: 't', id: 1 });
    for (const reading of [EVENT, PAYLOAD]) {
      expect(readEvent(event, reading).text).toBe('event: t\ndata: {"a":1}\nid: 1\n\n');
      expect(readFields(event, reading)).toBe(event);
    }
  });

  it("reads a plain object with data and an event's keys as an event (Nest's MessageEvent)", () => {
    expect(readFields({ data: { a: 1 }, type: 't', id: '1', retry: 5 }, EVENT)).toEqual({ data: '{"a":1}', type: 't', id: '1', retry: 5 });
    expect(readFields({ data: 'x', comment: 'c' }, EVENT)).toEqual({ data: 'x', comment: 'c' });
    expect(readFields({ data: null }, EVENT)).toEqual({ data: 'null' });
    expect(readFields(Object.assign(Object.create(null) as object, { data: 'x' }), EVENT)).toEqual({ data: 'x' });
  });

  it.each([
    ['an LLM chunk', { id: 'c1', choices: [{ delta: 'a' }] }],
    ['a row with a comment', { id: 1, comment: 'c' }],
    ['an object with a type and a total', { id: 1, type: 't', total: 3 }],
    ['an object with data and a foreign key', { data: 1, total: 3 }],
    ['an empty object', {}],
    ['an array', [{ data: 1 }]],
    ['a number', 1],
    ['a boolean', false],
    ['null', null],
  ])('sends %s whole, as a payload', (_, value) => {
    for (const reading of [EVENT, PAYLOAD]) expect(readFields(value, reading)).toEqual({ data: JSON.stringify(value) });
  });

  it('takes an instance of a class for a payload, whatever its fields are called', () => {
    class Row {
      data = 1;
    }
    expect(readFields(new Row(), EVENT)).toEqual({ data: '{"data":1}' });
  });

  it.each([
    ['a part', { type: 'text', id: '1', data: 'x' }],
    ['rows', { data: [1, 2] }],
  ])("keeps %s whole with emit 'payload'", (_, value) => {
    expect(readFields(value, PAYLOAD)).toEqual({ data: JSON.stringify(value) });
  });

  it('sends a string as it is, past the serializer', () => {
    const serializer = jest.fn<(data: unknown) => string>();
    for (const reading of [EVENT, PAYLOAD]) expect(readEvent('a\nb', { ...reading, serializer }).text).toBe('data: a\ndata: b\n\n');
    expect(readFields({ data: 'a' }, { ...EVENT, serializer })).toEqual({ data: 'a' });
    expect(serializer).not.toHaveBeenCalled();
  });

  it("takes everything else through the route's serializer", () => {
    const serializer = (data: unknown) => `<${JSON.stringify(data)}>`;
    expect(readFields({ a: 1 }, { ...EVENT, serializer })).toEqual({ data: '<{"a":1}>' });
    expect(readFields({ data: 2 }, { ...EVENT, serializer })).toEqual({ data: '<2>' });
    expect(readFields(null, { ...EVENT, serializer })).toEqual({ data: '<null>' });
  });

  it('splits the lines that a serializer writes', () => {
    const serializer = (data: unknown) => JSON.stringify(data, null, 1);
    expect(readEvent({ a: 1 }, { ...EVENT, serializer }).text).toBe('data: {\ndata:  "a": 1\ndata: }\n\n');
  });

  it.each([
    ['undefined', undefined],
    ['data that is undefined', { data: undefined, type: 'x' }],
    ['bytes', new Uint8Array([1])],
    ['a Buffer', Buffer.from('x')],
    ['a retry that is no whole number', { data: 1, retry: 0.5 }],
    ['an id with a line break', { data: 1, id: 'a\nb' }],
    ['a type with a NUL', { data: 1, type: 'a\0' }],
    ['a comment that is no string', { data: 1, comment: 1 }],
  ])('refuses %s', (_, value) => {
    expect(() => readEvent(value, EVENT)).toThrow(INVALID_EVENT);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['gives undefined', () => undefined],
    ['gives an object', () => ({})],
  ])('fails with SERIALIZATION_FAILED when the serializer %s', (_, serializer) => {
    expect(() => readEvent({}, { emit: 'event', serializer: serializer as never })).toThrow(
      expect.objectContaining({ code: 'SERIALIZATION_FAILED' }),
    );
  });

  it('survives a serializer that throws what cannot be shown', () => {
    const serializer = () => {
      throw Object.create(null) as Error;
    };
    expect(() => readEvent({}, { emit: 'event', serializer })).toThrow(expect.objectContaining({ code: 'SERIALIZATION_FAILED' }));
  });
});
