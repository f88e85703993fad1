import { describe, expect, it } from '@jest/globals';
import { type EventSourceMessage, createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { type EventFields, encode } from '../../lib/event/encode.js';
import { readEvent } from '../../lib/event/read-event.js';
import { serializeJson } from '../../lib/event/serialize.js';
import { sseEvent } from '../../lib/event/sse-event.js';

/** Text with many line breaks, colons, spaces and field names in it, well-formed as UTF-8 makes it anyway. */
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme' }),
    fc
      .array(fc.constantFrom('\r', '\n', '\r\n', ':', ' ', 'a', 'data:', 'id: 1', 'event: x', 'retry: 1', '€', '😀', '\0', '\uFEFF'))
      .map((parts) => parts.join('')),
  )
  .map((value) => Buffer.from(value).toString());

const line = text.map((value) => value.replace(/[\r\n\0]/g, ''));

/** What is an event to a client: with data, or a comment or a retry alone (an id alone belongs to no event that a parser tells of). */
const fields = fc
  .record({ data: text, type: line, id: line, retry: fc.nat(), comment: text }, { requiredKeys: [] })
  .filter(({ data, type, id, retry, comment }) => data !== undefined || (!type && id === undefined && (retry ?? comment) !== undefined));

interface Parsed {
  events: EventSourceMessage[];
  comments: string[];
  retries: number[];
}

function parse(chunks: string[]): Parsed {
  const parsed: Parsed = { events: [], comments: [], retries: [] };
  const parser = createParser({
    onEvent: (event) => parsed.events.push(event),
    onComment: (comment) => parsed.comments.push(comment),
    onRetry: (retry) => parsed.retries.push(retry),
  });
  for (const chunk of chunks) parser.feed(chunk);
  return parsed;
}

const normalise = (value: string): string => value.replace(/\r\n|\r/g, '\n');

/** What a client makes of the events, by the standard. */
function expected(events: EventFields[]): Parsed {
  return {
    events: events
      .filter(({ data }) => data !== undefined)
      .map(({ data, type, id }) => ({ id, event: type || undefined, data: normalise(data as string) })),
    comments: events.flatMap(({ comment }) => (comment === undefined ? [] : normalise(comment).split('\n'))),
    retries: events.flatMap(({ retry }) => (retry === undefined ? [] : [retry])),
  };
}

/** The bytes in chunks that are cut anywhere, also inside a character, decoded as a client does. */
function cut(bytes: Buffer, at: number[]): string[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const cuts = [...new Set(at.map((position) => position % (bytes.byteLength + 1)))].sort((a, b) => a - b);
  return [...cuts, bytes.byteLength].map((end, i) => decoder.decode(bytes.subarray(cuts[i - 1] ?? 0, end), { stream: true }));
}

describe('what is written, a parser that was not written here reads', () => {
  it('as the same events, of any text, one after the other, cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(fields, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (inits, at) => {
        const wire = inits.map((init) => encode(sseEvent(init)).text).join('');
        const { events, comments, retries } = expected(inits);
        expect(parse(cut(Buffer.from(`retry: 1\n${wire}`), at))).toEqual({ events, comments, retries: [1, ...retries] });
      }),
      { numRuns: 500 },
    );
  });

  it('as a payload that is whole, whatever it is, cut anywhere', () => {
    const reading = { emit: 'payload', serializer: serializeJson } as const;
    fc.assert(
      fc.property(fc.json(), fc.array(fc.nat(), { maxLength: 4 }), (json, at) => {
        const value = JSON.parse(json) as unknown;
        const { events } = parse(cut(Buffer.from(readEvent(value, reading).text), at));
        expect(events).toHaveLength(1);
        const data = events[0]?.data as string;
        expect(typeof value === 'string' ? data : JSON.parse(data)).toEqual(typeof value === 'string' ? normalise(value) : value);
      }),
    );
  });

  it('and no text that was given makes a field, an event or a blank line of its own', () => {
    fc.assert(
      fc.property(text, text, (data, comment) => {
        const { text: wire } = encode({ data, comment });
        expect(wire.match(/\n\n/g)).toHaveLength(1);
        expect(wire.endsWith('\n\n')).toBe(true);
        for (const written of wire.trimEnd().split(/\r\n|\r|\n/)) expect(written).toMatch(/^(data:|:)/);
      }),
      { numRuns: 500 },
    );
  });

  it('counts its bytes rightly', () => {
    fc.assert(
      fc.property(fields, (init) => {
        const event = encode(sseEvent(init));
        expect(event.byteLength).toBe(Buffer.from(event.text).byteLength);
      }),
    );
  });
});

describe('sseEvent', () => {
  it('refuses exactly the ids and types that would break a line', () => {
    fc.assert(
      fc.property(text, (value) => {
        const isRefused = (make: () => unknown) => {
          try {
            make();
            return false;
          } catch (error) {
            expect(error).toMatchObject({ code: 'INVALID_EVENT' });
            return true;
          }
        };
        const breaks = /[\r\n\0]/.test(value);
        expect(isRefused(() => sseEvent({ data: '', id: value }))).toBe(breaks);
        expect(isRefused(() => sseEvent({ data: '', type: value }))).toBe(breaks);
      }),
    );
  });
});
