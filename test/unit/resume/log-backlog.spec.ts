import { describe, expect, it } from '@jest/globals';
import { MAX_WRITE_BYTES, type Slice } from '../../../lib/connection/backlog.js';
import { heldBytes } from '../../../lib/connection/held-bytes.js';
import { encode, encodeComment } from '../../../lib/event/encode.js';
import type { LogLimits } from '../../../lib/log/event-log.js';
import { LogBacklog } from '../../../lib/resume/log-backlog.js';
import type { ResetReason } from '../../../lib/event/reset.js';
import type { SessionLog } from '../../../lib/resume/session-log.js';
import { END_EVENT, TOKEN, numbered, onWire, resetOnWire, sessionLog } from '../../support/session-logs.js';

const BUFFER = { maxBytes: 1_048_576, overflow: 'close' } as const;

/** A log with so many events, of so many bytes each. */
function logOf(count: number, size = 0, limits: Partial<LogLimits> = {}): SessionLog {
  const log = sessionLog(limits);
  for (let n = 1; n <= count; n++) log.append(numbered(n, size));
  return log;
}

function append(log: SessionLog, n: number, size = 0, filler = 'x'): void {
  log.append(numbered(n, size, filler));
}

/** Takes all there is; what each slice was, and that `bytes` is just what is still to come. */
function drain(backlog: LogBacklog): { text: string; slices: Slice[] } {
  const slices: Slice[] = [];
  for (let before = backlog.bytes, slice = backlog.take(); slice; before = backlog.bytes, slice = backlog.take()) {
    expect(slice.byteLength).toBe(Buffer.byteLength(slice.chunk));
    expect(slice.byteLength).toBeGreaterThan(0);
    expect(slice.byteLength).toBeLessThanOrEqual(MAX_WRITE_BYTES);
    expect(backlog.bytes).toBe(before - slice.byteLength);
    slices.push(slice);
  }
  expect(backlog.bytes).toBe(0);
  expect(backlog.isEmpty).toBe(true);
  return { text: Buffer.concat(slices.map(({ chunk }) => Buffer.from(chunk))).toString(), slices };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const eventsIn = (slices: Slice[]): number => slices.reduce((sum, { events }) => sum + events, 0);

describe('what waits of a log for one connection', () => {
  it.each([0, 1, 3, 5])('is what comes after position %i, each with its id', (after) => {
    const backlog = new LogBacklog(logOf(5), after, BUFFER);
    expect(backlog.isEmpty).toBe(after === 5);
    const { text, slices } = drain(backlog);
    expect(text).toBe(
      range(after + 1, 5)
        .map((n) => onWire(n))
        .join(''),
    );
    expect(eventsIn(slices)).toBe(5 - after);
    expect(slices).toHaveLength(after === 5 ? 0 : 1);
  });

  it('is joined to what is sent meanwhile, without a seam', () => {
    const log = logOf(3);
    const backlog = new LogBacklog(log, 1, BUFFER);
    append(log, 4);
    const { text } = drain(backlog);
    append(log, 5);
    append(log, 6);
    expect(text + drain(backlog).text).toBe(
      range(2, 6)
        .map((n) => onWire(n))
        .join(''),
    );
  });

  it('is, in bytes, exactly what is later written: with ids of all lengths, and of more bytes than characters', () => {
    const log = sessionLog();
    const backlog = new LogBacklog(log, 0, BUFFER);
    let expected = '';
    for (let n = 1; n <= 1_100; n++) {
      append(log, n, n % 7, '€');
      expected += onWire(n, n % 7, '€');
    }
    expect(backlog.bytes).toBe(Buffer.byteLength(expected));
    expect(new LogBacklog(log, 0, BUFFER).bytes).toBe(backlog.bytes);
    expect(drain(backlog).text).toBe(expected);
  });

  it('says what its client has, for the opening lines', () => {
    const backlog = new LogBacklog(logOf(3), 2, BUFFER);
    expect(backlog.idLine).toBe(`id: ${TOKEN}:2\n`);
    drain(backlog);
    expect(backlog.idLine).toBe(`id: ${TOKEN}:3\n`);
  });

  /** Just below what one write may be, at it and above, with the id line and without; and some large ones. */
  const frame = Buffer.byteLength(onWire(1)) - `id: ${TOKEN}:1\n`.length;
  const idLine = `id: ${TOKEN}:1\n`.length;
  it.each([
    MAX_WRITE_BYTES - frame - idLine - 1,
    MAX_WRITE_BYTES - frame - idLine,
    MAX_WRITE_BYTES - frame - idLine + 1,
    MAX_WRITE_BYTES - frame,
    MAX_WRITE_BYTES - frame + 1,
    MAX_WRITE_BYTES - frame + 2,
    2 * MAX_WRITE_BYTES - frame,
    2 * MAX_WRITE_BYTES - frame + 1,
    1_000_000,
  ])('is cut to slices when one event has %i bytes of text, and only its last lines give it an id', (size) => {
    for (const filler of ['x', '€']) {
      const count = Math.ceil(size / Buffer.byteLength(filler));
      const log = sessionLog();
      log.append(numbered(1, count, filler));
      log.append(numbered(2));
      const { text, slices } = drain(new LogBacklog(log, 0, BUFFER));
      expect(text === onWire(1, count, filler) + onWire(2)).toBe(true);
      expect(eventsIn(slices)).toBe(2);
      // an event counts when it is complete, and its id is never in a part of it that is not
      let seen = 0;
      for (const { chunk, events } of slices) {
        expect(chunk.toString().split('\nid: ').length - 1 + (chunk.toString().startsWith('id: ') ? 1 : 0)).toBe(events);
        seen += events;
      }
      expect(seen).toBe(2);
    }
  });

  it('lets comments of its connection go before events, but into none', () => {
    const log = sessionLog();
    log.append(numbered(1, 150_000));
    log.append(numbered(2));
    const backlog = new LogBacklog(log, 0, BUFFER);
    const first = backlog.take()!;
    backlog.push(encodeComment('between'));
    const { text } = drain(backlog);
    expect(first.chunk.toString() + text).toBe(`${onWire(1, 150_000)}: between\n${onWire(2)}`);
    expect(heldBytes.total).toBe(0);
  });

  it.each<ResetReason>(['unknown', 'expired', 'ended', 'future', 'malformed'])('begins with one reset when that is told: %s', (reason) => {
    const { text, slices } = drain(new LogBacklog(logOf(2), 0, BUFFER, reason));
    expect(text).toBe(resetOnWire(reason, 0) + onWire(1) + onWire(2));
    expect(eventsIn(slices)).toBe(3);
  });

  it('does not say in the opening lines what only a reset may: a client that is cut in between would not hear of it', () => {
    expect(new LogBacklog(logOf(2), 0, BUFFER, 'unknown').idLine).toBe('');
    const trimmed = new LogBacklog(logOf(5, 0, { maxEvents: 2 }), 1, BUFFER);
    expect(trimmed.idLine).toBe('');
    drain(trimmed);
    expect(trimmed.idLine).toBe(`id: ${TOKEN}:5\n`);
  });

  describe('when the log no longer reaches back', () => {
    it.each([0, 1, 2])('begins with one reset, then what the log still holds, after position %i', (after) => {
      const { text } = drain(new LogBacklog(logOf(5, 0, { maxEvents: 2 }), after, BUFFER));
      expect(text).toBe(resetOnWire('trimmed', 3) + onWire(4) + onWire(5));
    });

    it.each([3, 4, 5])('begins with none when nothing after position %i was trimmed', (after) => {
      const { text } = drain(new LogBacklog(logOf(5, 0, { maxEvents: 2 }), after, BUFFER));
      expect(text).toBe(
        range(after + 1, 5)
          .map((n) => onWire(n))
          .join(''),
      );
    });

    it('says so once when there is another reason as well', () => {
      const { text } = drain(new LogBacklog(logOf(5, 0, { maxEvents: 2 }), 0, BUFFER, 'malformed'));
      expect(text).toBe(resetOnWire('malformed', 3) + onWire(4) + onWire(5));
    });

    it('says so once for all that was trimmed while it was not read, however often', () => {
      const log = sessionLog({ maxEvents: 3 });
      const backlog = new LogBacklog(log, 0, BUFFER);
      for (let n = 1; n <= 20; n++) append(log, n);
      let text = '';
      for (let slice = backlog.take(); slice; slice = backlog.take()) text += slice.chunk.toString();
      expect(text).toBe(
        resetOnWire('trimmed', 17) +
          range(18, 20)
            .map((n) => onWire(n))
            .join(''),
      );
      expect(backlog).toMatchObject({ bytes: 0, isEmpty: true });
    });

    it('says so again when it happens again', () => {
      const log = sessionLog({ maxEvents: 1 });
      const backlog = new LogBacklog(log, 0, BUFFER);
      append(log, 1);
      append(log, 2);
      let text = backlog.take()!.chunk.toString();
      append(log, 3);
      for (let slice = backlog.take(); slice; slice = backlog.take()) text += slice.chunk.toString();
      expect(text).toBe(resetOnWire('trimmed', 1) + resetOnWire('trimmed', 2) + onWire(3));
      expect(backlog.bytes).toBe(0);
    });

    it('finishes an event that has begun to leave, though it is trimmed, before the reset', () => {
      const log = sessionLog({ maxEvents: 1 });
      const backlog = new LogBacklog(log, 0, BUFFER);
      append(log, 1, 150_000);
      let text = backlog.take()!.chunk.toString();
      append(log, 2);
      append(log, 3);
      for (let slice = backlog.take(); slice; slice = backlog.take()) text += slice.chunk.toString();
      expect(text === onWire(1, 150_000) + resetOnWire('trimmed', 2) + onWire(3)).toBe(true);
      expect(backlog).toMatchObject({ bytes: 0, isEmpty: true });
    });

    it('finishes it without a reset when nothing else was', () => {
      const log = sessionLog({ maxEvents: 1 });
      const backlog = new LogBacklog(log, 0, BUFFER);
      append(log, 1, 150_000);
      let text = backlog.take()!.chunk.toString();
      append(log, 2);
      for (let slice = backlog.take(); slice; slice = backlog.take()) text += slice.chunk.toString();
      expect(text === onWire(1, 150_000) + onWire(2)).toBe(true);
      expect(backlog.bytes).toBe(0);
    });

    it('says in its reset that it is the end, when all of an ended one is gone', () => {
      const log = logOf(2);
      log.append(END_EVENT, true);
      log.clear();
      expect(drain(new LogBacklog(log, 1, BUFFER)).text).toBe(resetOnWire('trimmed', 'end'));
    });
  });

  it('hands on comments and retry lines that wait as one, however many and long they are', () => {
    const backlog = new LogBacklog(logOf(0), 0, { maxBytes: 1_000_000, overflow: 'close' });
    expect(backlog.takeOwnLines()).toBeUndefined();
    const comments = [
      encodeComment('ä€🙂'.repeat(20_000)),
      encode({ retry: 7 }),
      ...Array.from({ length: 3_000 }, (_, n) => encodeComment(`${n} é`.repeat(9))),
    ];
    for (const comment of comments) backlog.push(comment);
    expect(backlog.takeOwnLines()?.text).toBe(comments.map(({ text }) => text).join(''));
    expect(backlog.isEmpty).toBe(true);
  });

  it('says how much its client has not got, with a large event that has only begun to leave', () => {
    const backlog = new LogBacklog(logOf(2, 150_000), 0, BUFFER);
    const { bytes } = backlog;
    expect(backlog.unread).toEqual({ events: 2, bytes });
    const first = backlog.take()!.byteLength;
    expect(backlog.unread).toEqual({ events: 2, bytes: bytes - first });
    backlog.discard();
    expect(backlog.unread).toEqual({ events: 2, bytes: bytes - first });
  });

  it('ends with the id that says end, whose length is known beforehand', () => {
    const log = logOf(1);
    const backlog = new LogBacklog(log, 0, BUFFER);
    log.append(END_EVENT, true);
    expect(new LogBacklog(log, 0, BUFFER).bytes).toBe(backlog.bytes);
    expect(drain(backlog).text).toBe(`${onWire(1)}event: end\ndata: over\nid: ${TOKEN}:end\n\n`);
  });

  it('is nothing once it was discarded, also what has begun to leave', () => {
    const { total } = heldBytes;
    const log = sessionLog();
    log.append(numbered(1, 200_000));
    const backlog = new LogBacklog(log, 0, BUFFER);
    backlog.take();
    backlog.push(encodeComment('c'));
    backlog.discard();
    expect(backlog).toMatchObject({ bytes: 0, isEmpty: true });
    expect(backlog.take()).toBeUndefined();
    expect(heldBytes.total).toBe(total);
  });

  describe('is too much', () => {
    const small = { maxBytes: 1_000, overflow: 'close' } as const;

    it('when more was sent than may wait, but never for one event alone', () => {
      const log = sessionLog();
      const backlog = new LogBacklog(log, 0, small);
      append(log, 1, 5_000);
      expect(backlog.isTooMuch).toBe(false);
      append(log, 2);
      expect(backlog.isTooMuch).toBe(true);
      drain(backlog);
      expect(backlog.isTooMuch).toBe(false);
    });

    it('never for what was missed: that is in the log already, and a client that is cut for it would come back for the same', () => {
      const log = logOf(100, 100);
      const backlog = new LogBacklog(log, 10, small);
      expect(backlog.bytes).toBeGreaterThan(small.maxBytes);
      append(log, 101);
      expect(backlog.isTooMuch).toBe(false);
      // but for what is sent while it does not read
      append(log, 102, 1_000);
      expect(backlog.isTooMuch).toBe(true);
      drain(backlog);
      append(log, 103, 600);
      expect(backlog.isTooMuch).toBe(false);
      append(log, 104, 600);
      expect(backlog.isTooMuch).toBe(true);
    });
  });
});
