import { describe, expect, it } from '@jest/globals';
import { findReturn } from '../../../lib/request/returning.js';
import { MemoryDirectory } from '../../../lib/resume/memory-directory.js';
import type { SessionDirectory } from '../../../lib/resume/session-directory.js';
import type { LogAddress, SessionLog } from '../../../lib/resume/session-log.js';
import { FakeClock } from '../../../lib/testing/fake-clock.js';
import { numbered } from '../../support/session-logs.js';

const ANN: LogAddress = { principal: 'ann', key: 'answer', route: 'GET /chat/:id', path: '/chat/1' };
const STRANGER = 'x'.repeat(22);

function begin(address: LogAddress = ANN, events = 3) {
  const clock = new FakeClock();
  const directory = new MemoryDirectory(clock, 1_000_000);
  const log = directory.open('session', address, { maxBytes: 1_000_000 });
  for (let n = 1; n <= events; n++) log.append(numbered(n));
  return { clock, directory, log };
}

/** The same engine, asked by way of promises. */
function remote(directory: MemoryDirectory): SessionDirectory {
  return new Proxy(directory, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => Reflect.apply(value as (...values: unknown[]) => unknown, target, args);
    },
  });
}

describe.each<[string, (directory: MemoryDirectory) => SessionDirectory]>([
  ['at once', (directory) => directory],
  ['later', remote],
])('what a client comes back to, found %s', (_how, engine) => {
  const find = async (directory: MemoryDirectory, address: LogAddress, id?: string) => findReturn(engine(directory), address, id);
  const nameless = { ...ANN, key: undefined };

  it('is the live session of its id, from there on', async () => {
    const { directory, log } = begin();
    for (const after of [0, 1, 2, 3]) expect(await find(directory, ANN, `${log.token}:${after}`)).toEqual({ to: 'log', log, after });
  });

  it.each<[string, Partial<LogAddress>]>([
    ['principal', { principal: 'bob' }],
    ['no principal', { principal: undefined }],
    ['route', { route: 'POST /chat/:id' }],
    ['path', { path: '/chat/2' }],
  ])('is a new session when its id is of another %s, and no more is told', async (_what, other) => {
    const { directory, log } = begin();
    expect(await find(directory, { ...ANN, ...other }, `${log.token}:1`)).toEqual({ to: 'start', reset: 'unknown' });
    expect(await find(directory, { ...ANN, ...other }, `${log.token}:99`)).toEqual({ to: 'start', reset: 'unknown' });
    directory.end(log, { after: 'stop', reset: 'ended', at: 0 });
    expect(await find(directory, { ...ANN, ...other }, `${log.token}:3`)).toEqual({ to: 'start', reset: 'unknown' });
  });

  it.each<[string, (log: SessionLog) => string, string]>([
    ['of nobody', () => `${STRANGER}:1`, 'unknown'],
    ['malformed', () => 'nonsense', 'malformed'],
    ['of the future', ({ token }) => `${token}:4`, 'future'],
  ])('is a new session with a reset when its id is %s; or the live one of its key, from the beginning', async (_what, id, reset) => {
    const { directory, log } = begin();
    expect(await find(directory, nameless, id(log))).toEqual({ to: 'start', reset });
    expect(await find(directory, ANN, id(log))).toEqual({ to: 'log', log, after: 0, reset });
  });

  it('is the live session of its key when it has no id', async () => {
    const { directory, log } = begin();
    expect(await find(directory, ANN)).toEqual({ to: 'log', log, after: 0, reset: undefined });
    for (const other of [{ principal: 'bob' }, { key: 'other' }, { path: '/chat/2' }, { key: undefined }, { principal: undefined }]) {
      expect(await find(directory, { ...ANN, ...other })).toEqual({ to: 'start' });
    }
  });

  it('is nobody’s session by a key without a principal', async () => {
    const nobody = { ...ANN, principal: undefined };
    const { directory } = begin(nobody);
    expect(await find(directory, nobody)).toEqual({ to: 'start' });
  });

  it('is the rest of what has ended, or nothing when it has that', async () => {
    const { directory, log } = begin();
    directory.end(log, { after: 'stop', reset: 'ended', at: 0 });
    expect(await find(directory, ANN, `${log.token}:0`)).toEqual({ to: 'log', log, after: 0 });
    expect(await find(directory, ANN, `${log.token}:2`)).toEqual({ to: 'log', log, after: 2 });
    expect(await find(directory, ANN, `${log.token}:3`)).toEqual({ to: 'nothing' });
    expect(await find(directory, ANN, `${log.token}:4`)).toEqual({ to: 'start', reset: 'future' });
  });

  it('is nothing after an id that says end, also of a session that nobody knows', async () => {
    const { directory, log } = begin();
    expect(await find(directory, ANN, `${log.token}:end`)).toEqual({ to: 'nothing' });
    expect(await find(directory, ANN, `${STRANGER}:end`)).toEqual({ to: 'nothing' });
  });

  it.each(['expired', 'ended', undefined] as const)('is a new session after a restart, with the reset %s', async (reset) => {
    const { directory, log } = begin();
    directory.end(log, { after: 'restart', reset, at: 0 });
    for (const position of [0, 3, 99]) expect(await find(directory, ANN, `${log.token}:${position}`)).toEqual({ to: 'start', reset });
  });

  it('is not what has ended by its key', async () => {
    const { directory, log } = begin();
    directory.end(log, { after: 'stop', reset: 'ended', at: 0 });
    expect(await find(directory, ANN)).toEqual({ to: 'start' });
    const next = directory.open('next', ANN, { maxBytes: 1_000 });
    expect(await find(directory, ANN)).toEqual({ to: 'log', log: next, after: 0, reset: undefined });
  });

  it('is unknown when that was forgotten', async () => {
    const { clock, directory, log } = begin();
    directory.end(log, { after: 'stop', reset: 'ended', at: clock.now() });
    clock.advance(10 * 60_000);
    expect(await find(directory, nameless, `${log.token}:1`)).toEqual({ to: 'start', reset: 'unknown' });
  });
});
