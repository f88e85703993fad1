import { describe, expect, it } from '@jest/globals';
import { checkModuleOptions, checkRouteOptions } from '../../../lib/options/schema.js';

const MILLISECONDS = 'a whole number of milliseconds from 1 to 2147483647';
const MILLISECONDS_OR_0 = 'a whole number of milliseconds from 0 to 2147483647';
const FALSE = 'false to switch it off (0 never means infinite), or a positive value';
const COUNT = 'a whole number, 1 or more';
const BYTES = 'a whole number of bytes, 1 or more';

/** The options object in which only the option at `path` is given. */
function optionsWith(path: string, value: unknown): Record<string, unknown> {
  return path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

const BAD: [path: string, value: unknown, shown: string, expected: string][] = [
  ['heartbeat', 5, '5', 'an object with intervalMs, comment'],
  ['heartbeat', true, 'true', 'an object with intervalMs, comment'],
  ['heartbeat', null, 'null', 'an object with intervalMs, comment'],
  ['heartbeat', [], 'an array', 'an object with intervalMs, comment'],
  ['heartbeat', 0, '0', FALSE],
  ['heartbeat.intervalMs', 0, '0', MILLISECONDS],
  ['heartbeat.intervalMs', '15s', '"15s"', MILLISECONDS],
  ['heartbeat.comment', 'a\nb', '"a\\nb"', 'a string without CR, LF or NUL'],
  ['heartbeat.comment', 1, '1', 'a string without CR, LF or NUL'],
  ['timeoutMs', 0, '0', FALSE],
  ['timeoutMs', -1, '-1', MILLISECONDS],
  ['timeoutMs', 1.5, '1.5', MILLISECONDS],
  ['timeoutMs', NaN, 'NaN', MILLISECONDS],
  ['timeoutMs', Infinity, 'Infinity', MILLISECONDS],
  ['timeoutMs', 2 ** 31, '2147483648', MILLISECONDS],
  ['timeoutMs', true, 'true', MILLISECONDS],
  ['timeoutMs', '1000', '"1000"', MILLISECONDS],
  ['idleTimeoutMs', 0, '0', FALSE],
  ['idleTimeoutMs', -5, '-5', MILLISECONDS],
  ['retryMs', 0, '0', FALSE],
  ['retryMs', 0.5, '0.5', MILLISECONDS],
  ['openOn', 'open', '"open"', "'handler' or 'first-event'"],
  ['emit', true, 'true', "'event' or 'payload'"],
  ['serializer', {}, 'an object', 'a function'],
  ['serializer', false, 'false', 'a function'],
  ['errorEvent', 'error', '"error"', 'a function'],
  ['errorEvent', 0, '0', FALSE],
  ['endEvent', true, 'true', 'an object with type'],
  ['endEvent', {}, 'undefined', 'a value, as it has no default'],
  ['endEvent.type', '', '""', 'a string that is not empty, without CR, LF or NUL'],
  ['endEvent.type', 'a\rb', '"a\\rb"', 'a string that is not empty, without CR, LF or NUL'],
  ['buffer', false, 'false', 'an object with maxBytes, overflow, stallTimeoutMs'],
  ['buffer.maxBytes', 0, '0', BYTES],
  ['buffer.maxBytes', '1mb', '"1mb"', BYTES],
  ['buffer.overflow', 'drop', '"drop"', "'close' or 'drop-oldest' or 'latest'"],
  ['buffer.stallTimeoutMs', 0, '0', MILLISECONDS],
  ['buffer.stallTimeoutMs', false, 'false', MILLISECONDS],
  ['deadPeer', true, 'true', 'an object with timeoutMs'],
  ['deadPeer', 0, '0', FALSE],
  ['deadPeer.timeoutMs', 999, '999', 'a whole number of milliseconds from 1000 to 2147483647'],
  ['authorization', true, 'true', 'an object with revalidate, intervalMs, expiresAt'],
  ['authorization.revalidate', 'yes', '"yes"', 'a function'],
  ['authorization.intervalMs', 0, '0', MILLISECONDS],
  ['authorization.expiresAt', 1_700_000_000_000, '1700000000000', 'a function'],
  ['limits', false, 'false', 'an object with maxConnections, maxPerPrincipal, maxPerSocket, perPrincipalPolicy'],
  ['limits.maxConnections', 0, '0', FALSE],
  ['limits.maxConnections', 1.5, '1.5', COUNT],
  ['limits.maxPerPrincipal', 0, '0', FALSE],
  ['limits.maxPerSocket', -1, '-1', COUNT],
  ['limits.perPrincipalPolicy', 'evict', '"evict"', "'reject'"],
  ['refusal', 429, '429', "'retry' or 'status'"],
  ['principal', 'user', '"user"', 'a function'],
  ['key', 'chat', '"chat"', 'a function'],
  ['shutdown', false, 'false', 'an object with'],
  ['shutdown.finishMs', -1, '-1', MILLISECONDS_OR_0],
  ['shutdown.finishMs', false, 'false', MILLISECONDS_OR_0],
];

const BAD_FOR_MODULE: typeof BAD = [
  ['channels', false, 'false', 'an object with maxBytes, maxAgeMs'],
  ['channels.maxBytes', 0, '0', BYTES],
  ['channels.maxBytes', Infinity, 'Infinity', BYTES],
  ['channels.maxAgeMs', 0, '0', MILLISECONDS],
  ['cleanup', false, 'false', 'an object with intervalMs'],
  ['cleanup.intervalMs', 0, '0', MILLISECONDS],
  ['shutdown.timeoutMs', 0, '0', MILLISECONDS],
  ['shutdown.retryJitterMs', 0.1, '0.1', MILLISECONDS_OR_0],
];

const GOOD: [path: string, ...values: unknown[]][] = [
  ['heartbeat', false, {}, { intervalMs: 1 }, { comment: '' }],
  ['timeoutMs', false, 1, 2 ** 31 - 1],
  ['idleTimeoutMs', false, 60_000],
  ['retryMs', false, 1],
  ['openOn', 'handler', 'first-event'],
  ['emit', 'event', 'payload'],
  ['serializer', JSON.stringify],
  ['errorEvent', false, () => null],
  ['endEvent', false, { type: 'end' }],
  ['buffer', {}, { maxBytes: 1 }, { overflow: 'latest' }, { stallTimeoutMs: 1 }],
  ['deadPeer', false, {}, { timeoutMs: 1_000 }],
  ['authorization', false, { expiresAt: () => 5 }, { revalidate: () => true, intervalMs: 1 }],
  ['limits', {}, { maxConnections: 1, maxPerPrincipal: false, maxPerSocket: 6, perPrincipalPolicy: 'reject' }],
  ['refusal', 'retry', 'status'],
  ['principal', () => 'ann'],
  ['key', () => undefined],
  ['shutdown', {}, { finishMs: 0 }, { finishMs: 8_000 }],
];

describe('the options of the module', () => {
  it.each([...BAD, ...BAD_FOR_MODULE])('name the option, what it got and what it expects: %s = %p', (path, value, shown, expected) => {
    const named = path === 'endEvent' && shown === 'undefined' ? 'endEvent.type' : path;
    expect(() => checkModuleOptions(optionsWith(path, value))).toThrow(
      expect.objectContaining({
        name: 'SseSessionError',
        code: 'INVALID_OPTION',
        message: expect.stringContaining(`SseSessionModule option "${named}" is ${shown}; expected ${expected}`) as unknown,
      }),
    );
  });

  it.each(GOOD)('take for %s what it means', (path, ...values) => {
    for (const value of [undefined, ...values]) expect(() => checkModuleOptions(optionsWith(path, value))).not.toThrow();
  });

  it.each([
    ['timeout', 'timeout', 'heartbeat, timeoutMs, idleTimeoutMs'],
    ['heartbeat.interval', 'heartbeat.interval', 'intervalMs, comment'],
    ['buffer.max', 'buffer.max', 'maxBytes, overflow, stallTimeoutMs'],
    ['endEvent.name', 'endEvent.name', 'type'],
    ['limits.max', 'limits.max', 'maxConnections'],
    ['channels.maxEvents', 'channels.maxEvents', 'maxBytes, maxAgeMs'],
    ['cleanup.cron', 'cleanup.cron', 'intervalMs'],
    ['shutdown.graceMs', 'shutdown.graceMs', 'timeoutMs, finishMs, retryJitterMs'],
    ['onOpen', 'onOpen', 'heartbeat'],
    ['constructor', 'constructor', 'heartbeat'],
    ['__proto__x', '__proto__x', 'heartbeat'],
  ])('refuse an unknown name at every level: %s', (path, named, known) => {
    expect(() => checkModuleOptions(optionsWith(path, 1))).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(new RegExp(`"${named}" is unknown; expected one of .*${known}`)) as unknown,
      }),
    );
  });

  it.each([null, 'text', 5, [], () => ({})])('refuse what is no object of options: %p', (options) => {
    expect(() => checkModuleOptions(options)).toThrow(/SseSessionModule\.forRoot\(\) takes an object of options; got /);
  });
});

describe('the options of a route', () => {
  it.each(BAD)('name the route, the option, what it got and what it expects: %s = %p', (path, value, shown, expected) => {
    const named = path === 'endEvent' && shown === 'undefined' ? 'endEvent.type' : path;
    expect(() => checkRouteOptions(optionsWith(path, value), 'ChatController.stream')).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(
          `@ManagedSse() on ChatController.stream: option "${named}" is ${shown}; expected ${expected}`,
        ) as unknown,
      }),
    );
  });

  it.each(GOOD)('take for %s what it means', (path, ...values) => {
    for (const value of values) expect(() => checkRouteOptions(optionsWith(path, value), 'A.b')).not.toThrow();
  });

  it.each(['cleanup', 'channels', 'maxTotalBytes', 'shutdown.timeoutMs', 'shutdown.retryJitterMs'])(
    "refuse what is the module's alone: %s",
    (path) => {
      expect(() => checkRouteOptions(optionsWith(path, 1), 'A.b')).toThrow(
        `A.b: option "${path}" is 1; expected nothing: it is the module's alone, set in SseSessionModule.forRoot().`,
      );
      expect(() => checkRouteOptions({ isGlobal: true }, 'A.b')).toThrow(/^(?!.*cleanup).*"isGlobal" is unknown/);
    },
  );
});
