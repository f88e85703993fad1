import { describe, expect, it } from '@jest/globals';
import type { EncodedEvent } from '../../../lib/event/encode.js';
import { MemoryLog } from '../../../lib/log/memory-log.js';
import { SessionLog } from '../../../lib/resume/session-log.js';
import { ADDRESS, END_EVENT, TOKEN, numbered, sessionLog } from '../../support/session-logs.js';

describe('the log of a session', () => {
  it('names its events by its token and where they stand', () => {
    const log = sessionLog();
    expect(log.tail).toBe(0);
    expect(log.append(numbered(1))).toBe(1);
    expect(log.append(numbered(2))).toBe(2);
    expect(log.tail).toBe(2);
    expect([0, 1, 2].map((position) => log.idOf(position))).toEqual([`${TOKEN}:0`, `${TOKEN}:1`, `${TOKEN}:2`]);
    expect(log.idLine(2)).toBe(`id: ${TOKEN}:2\n`);
  });

  it('counts all that was ever appended, id lines included, whatever it keeps of it', () => {
    const log = sessionLog({ maxEvents: 2 });
    let bytes = 0;
    for (let n = 1; n <= 1_001; n++) {
      const event = numbered(n);
      const position = log.append(event);
      bytes += event.byteLength + Buffer.byteLength(log.idLine(position));
      expect(log.appendedBytes).toBe(bytes);
    }
    log.append(END_EVENT, true);
    expect(log.appendedBytes).toBe(bytes + END_EVENT.byteLength + `id: ${TOKEN}:end\n`.length);
  });

  it('knows how much follows a position', () => {
    const log = sessionLog();
    for (let n = 1; n <= 12; n++) log.append(numbered(n, n));
    log.append(END_EVENT, true);
    const sizeAt = (position: number): number => (log.events.at(position)?.byteLength ?? NaN) + log.idLine(position).length;
    expect(log.bytesAfter(13)).toBe(0);
    expect(log.bytesAfter(12)).toBe(sizeAt(13));
    expect(log.bytesAfter(8)).toBe([9, 10, 11, 12, 13].reduce((sum, position) => sum + sizeAt(position), 0));
    expect(log.bytesAfter(0)).toBe(log.appendedBytes);
  });

  it('goes on where events that are there already end, as those of another node are', () => {
    const events = new MemoryLog<EncodedEvent>('epoch', { maxEvents: 3, maxBytes: 1_000 });
    for (let n = 1; n <= 5; n++) events.append(numbered(n));
    const log = new SessionLog(TOKEN, 'session', ADDRESS, events);
    expect(log.tail).toBe(5);
    expect(log.appendedBytes).toBe(log.bytesAfter(0));
    expect(log.append(numbered(6))).toBe(6);
    expect(log.at(6)?.text).toBe(numbered(6).text);
    expect(log.bytesAfter(3)).toBe(log.appendedBytes - (numbered(3).byteLength + log.idLine(3).length));
  });

  it('calls its last event the end, when it is told so, and no other', () => {
    const log = sessionLog();
    log.append(numbered(1));
    expect(log.append(END_EVENT, true)).toBe(2);
    expect([0, 1, 2].map((position) => log.idOf(position))).toEqual([`${TOKEN}:0`, `${TOKEN}:1`, `${TOKEN}:end`]);
    expect([1, 2].map((position) => log.idLine(position))).toEqual([`id: ${TOKEN}:1\n`, `id: ${TOKEN}:end\n`]);
  });

  it('keeps its positions when events are trimmed, and when all are', () => {
    const log = sessionLog({ maxEvents: 2 });
    for (let n = 1; n <= 5; n++) log.append(numbered(n));
    expect(log.tail).toBe(5);
    expect(log.events).toMatchObject({ size: 2 });
    expect(log.events.trimmedUpTo()).toBe(3);
    log.clear();
    expect(log.tail).toBe(5);
    expect(log.events).toMatchObject({ size: 0, bytes: 0 });
  });
});
