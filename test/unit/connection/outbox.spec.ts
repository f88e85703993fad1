import { describe, expect, it } from '@jest/globals';
import { MAX_WRITE_BYTES, type Slice } from '../../../lib/connection/backlog.js';
import { Outbox } from '../../../lib/connection/outbox.js';
import { type EncodedEvent, encode, encodeComment, encodeData } from '../../../lib/event/encode.js';

/** An event of exactly so many bytes. */
function event(byteLength: number, type?: string): EncodedEvent {
  const empty = encode({ data: '', ...(type !== undefined && { type }) });
  return encode({ data: 'x'.repeat(byteLength - empty.byteLength), ...(type !== undefined && { type }) });
}

function takeAll(outbox: Outbox): Slice[] {
  const slices: Slice[] = [];
  for (let slice = outbox.take(); slice; slice = outbox.take()) slices.push(slice);
  return slices;
}

function text(slices: Slice[]): string {
  return Buffer.concat(slices.map(({ chunk }) => Buffer.from(chunk))).toString();
}

describe('Outbox', () => {
  it('is empty at first, and gives nothing', () => {
    const outbox = new Outbox(100, 'close');
    expect(outbox.isEmpty).toBe(true);
    expect(outbox.take()).toBeUndefined();
  });

  it('joins what waits into one write, in order', () => {
    const outbox = new Outbox(1_000, 'close');
    for (const data of ['a', 'b', 'c']) expect(outbox.push(encodeData(data))).toBe(0);
    expect(outbox.take()).toEqual({ chunk: 'data: a\n\ndata: b\n\ndata: c\n\n', byteLength: 27, events: 3 });
    expect(outbox.isEmpty).toBe(true);
  });

  it('counts bytes from push until take, in bytes and not in characters', () => {
    const outbox = new Outbox(1_000, 'close');
    outbox.push(encodeData('é'));
    expect(outbox.bytes).toBe(10);
    outbox.push(encodeData('a'));
    expect(outbox.bytes).toBe(19);
    expect(outbox.take()?.byteLength).toBe(19);
    expect(outbox.bytes).toBe(0);
  });

  it('counts comments as bytes and not as events', () => {
    const outbox = new Outbox(1_000, 'close');
    outbox.push(encodeComment('a'));
    outbox.push(encodeData('b'));
    expect(outbox.take()).toMatchObject({ events: 1, chunk: ': a\ndata: b\n\n' });
  });

  it('writes at most 64 KB at once, framing of the chunk included', () => {
    const outbox = new Outbox(1_000_000, 'close');
    const events = Array.from({ length: 200 }, () => event(1_000));
    for (const each of events) outbox.push(each);
    const slices = takeAll(outbox);
    expect(slices.length).toBeGreaterThan(1);
    for (const { byteLength } of slices) expect(byteLength + '\r\nFFF0\r\n\r\n'.length).toBeLessThanOrEqual(64 * 1024);
    expect(slices.reduce((sum, slice) => sum + slice.events, 0)).toBe(200);
    expect(text(slices)).toBe(events.map((each) => each.text).join(''));
  });

  it('cuts a larger event into slices, counts it with the last, and keeps what follows behind it', () => {
    const outbox = new Outbox(10_000_000, 'close');
    const large = encodeData('é'.repeat(100_000));
    outbox.push(encodeData('before'));
    outbox.push(large);
    outbox.push(encodeData('after'));
    const slices = takeAll(outbox);
    for (const { byteLength, chunk } of slices) {
      expect(byteLength).toBeLessThanOrEqual(MAX_WRITE_BYTES);
      expect(Buffer.byteLength(chunk)).toBe(byteLength);
    }
    expect(slices.map(({ events }) => events)).toEqual([1, 0, 0, 0, 1, 1]);
    expect(text(slices)).toBe(`data: before\n\n${large.text}data: after\n\n`);
    expect(outbox.bytes).toBe(0);
  });

  it('counts the rest of a large event as waiting', () => {
    const outbox = new Outbox(10_000_000, 'close');
    outbox.push(event(100_000));
    outbox.take();
    expect(outbox.bytes).toBe(100_000 - MAX_WRITE_BYTES);
    expect(outbox.isEmpty).toBe(false);
  });

  it('keeps its order and its count over thousands of events that come and go', () => {
    const outbox = new Outbox(10_000_000, 'close');
    let next = 0;
    let seen = '';
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 5_000; i++) outbox.push(encodeData(String(next++)));
      seen += String(outbox.take()?.chunk);
    }
    seen += text(takeAll(outbox));
    expect(seen).toBe(Array.from({ length: next }, (_, i) => `data: ${i}\n\n`).join(''));
    expect(outbox.bytes).toBe(0);
  });

  describe.each(['close', 'drop-oldest', 'latest'] as const)('whatever the policy (%s)', (overflow) => {
    it('takes what fits to the last byte', () => {
      const outbox = new Outbox(100, overflow);
      expect([outbox.push(event(60)), outbox.push(event(40))]).toEqual([0, 0]);
      expect(outbox.bytes).toBe(100);
    });

    it('takes one event that is larger than maxBytes when nothing is before it', () => {
      const outbox = new Outbox(100, overflow);
      expect(outbox.push(event(5_000))).toBe(0);
      expect(outbox.bytes).toBe(5_000);
    });

    it("takes the library's last words beyond the limit, behind what waits", () => {
      const outbox = new Outbox(100, overflow);
      outbox.push(event(100));
      outbox.force(encodeData('end'));
      expect(text(takeAll(outbox))).toBe(`${event(100).text}data: end\n\n`);
      expect(outbox.bytes).toBe(0);
    });
  });

  describe("with overflow 'close'", () => {
    it('says so when an event does not fit, and keeps what it has', () => {
      const outbox = new Outbox(100, 'close');
      outbox.push(event(60));
      expect(outbox.push(event(41))).toBe('overflow');
      expect(outbox.bytes).toBe(60);
    });
  });

  describe("with overflow 'drop-oldest'", () => {
    it('drops as many of the oldest as it takes, and says how many', () => {
      const outbox = new Outbox(100, 'drop-oldest');
      for (const type of ['a', 'b', 'c']) outbox.push(event(33, type));
      expect(outbox.push(event(40, 'd'))).toBe(2);
      expect(outbox.bytes).toBe(73);
      expect(text(takeAll(outbox)).match(/event: ./g)).toEqual(['event: c', 'event: d']);
    });

    it('drops all for one that is larger than maxBytes', () => {
      const outbox = new Outbox(100, 'drop-oldest');
      outbox.push(event(50));
      expect(outbox.push(event(500, 'large'))).toBe(1);
      expect(outbox.bytes).toBe(500);
    });

    it('does not count a comment that it drops', () => {
      const outbox = new Outbox(100, 'drop-oldest');
      outbox.push(encodeComment('x'.repeat(60)));
      expect(outbox.push(event(60))).toBe(0);
      expect(outbox.bytes).toBe(60);
    });

    it('never drops what has begun to leave: an event that does not fit beside it is dropped itself', () => {
      const outbox = new Outbox(100_000, 'drop-oldest');
      const large = event(160_000, 'large');
      outbox.push(large);
      const first = outbox.take() as Slice;
      expect(outbox.push(event(10_000))).toBe('dropped');
      const second = outbox.take() as Slice;
      expect(outbox.push(event(10_000, 'next'))).toBe(0);
      expect(text([first, second, ...takeAll(outbox)])).toBe(large.text + event(10_000, 'next').text);
    });
  });

  describe("with overflow 'latest'", () => {
    it('keeps everything until it overflows, then the newest event per type, in the order of the newest arrivals', () => {
      const outbox = new Outbox(200, 'latest');
      for (const type of ['a', 'b', 'a']) expect(outbox.push(event(60, type))).toBe(0);
      expect(outbox.push(event(60, 'c'))).toBe(1);
      expect(outbox.push(event(60, 'b'))).toBe(1);
      expect(outbox.bytes).toBe(180);
      expect(text(takeAll(outbox)).match(/event: ./g)).toEqual(['event: a', 'event: c', 'event: b']);
      expect(outbox.bytes).toBe(0);
    });

    it('takes events without a type for one type', () => {
      const outbox = new Outbox(20, 'latest');
      outbox.push(encodeData('1'));
      outbox.push(encodeData('2'));
      expect(outbox.push(encodeData('3'))).toBe(2);
      expect(text(takeAll(outbox))).toBe('data: 3\n\n');
    });

    it('lets the types go that changed longest ago when there are too many, and never the newest', () => {
      const outbox = new Outbox(100, 'latest');
      for (const type of ['a', 'b', 'c']) outbox.push(event(50, type));
      expect(outbox.bytes).toBe(100);
      expect(outbox.push(event(500, 'large'))).toBe(2);
      expect(text(takeAll(outbox))).toBe(event(500, 'large').text);
    });

    it('goes back to a queue when the connection takes again', () => {
      const outbox = new Outbox(100, 'latest');
      for (let i = 0; i < 3; i++) outbox.push(event(50, 'a'));
      outbox.take();
      expect([outbox.push(event(50, 'a')), outbox.push(event(50, 'a'))]).toEqual([0, 0]);
      expect(outbox.bytes).toBe(100);
    });

    it('keeps the rest of a large event that has begun to leave', () => {
      const outbox = new Outbox(100_000, 'latest');
      const large = event(160_000, 'large');
      outbox.push(large);
      const first = outbox.take() as Slice;
      expect(outbox.push(event(10_000, 'large'))).toBe(0);
      expect(outbox.push(event(20_000, 'large'))).toBe(1);
      expect(text([first, ...takeAll(outbox)])).toBe(large.text + event(20_000, 'large').text);
    });

    it('keeps the newest comment, retry and id beside the newest of each type', () => {
      const outbox = new Outbox(100, 'latest');
      for (let i = 0; i < 3; i++) outbox.push(event(50, 'a'));
      for (const fields of [{ comment: '1' }, { retry: 1 }, { id: '1' }, { comment: '2' }, { retry: 2 }, { id: '2' }])
        outbox.push(encode(fields));
      expect(text(takeAll(outbox))).toBe(`${event(50, 'a').text}: 2\nretry: 2\nid: 2\n\n`);
    });
  });
});
