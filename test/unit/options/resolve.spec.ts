import { describe, expect, it } from '@jest/globals';
import { DEFAULTS } from '../../../lib/options/defaults.js';
import type { RouteOptions, SseSessionModuleOptions } from '../../../lib/options/options.js';
import { resolveModuleOptions, resolveRouteOptions } from '../../../lib/options/resolve.js';

function resolve(module: SseSessionModuleOptions, route: RouteOptions = {}) {
  return resolveRouteOptions(resolveModuleOptions(module), route, 'ChatController.stream');
}

describe('the options of a route', () => {
  it('are the defaults when nobody says anything', () => {
    expect(resolve({})).toMatchObject({
      heartbeat: { intervalMs: 15_000, comment: 'heartbeat' },
      timeoutMs: 1_800_000,
      idleTimeoutMs: false,
      retryMs: 2_000,
      openOn: 'handler',
      emit: 'event',
      endEvent: false,
      buffer: { maxBytes: 1_048_576, overflow: 'close', stallTimeoutMs: 30_000 },
      limits: { maxConnections: { process: false, route: false }, maxPerPrincipal: { process: false, route: false }, maxPerSocket: false },
      refusal: 'retry',
      principal: undefined,
      key: undefined,
      finishMs: 0,
    });
    expect(resolve({}).serializer({ a: null })).toBe('{"a":null}');
  });

  it("are merged key by key: the route's over the module's over the defaults", () => {
    expect(
      resolve(
        { timeoutMs: 1, retryMs: 5, heartbeat: { intervalMs: 10 }, buffer: { maxBytes: 7, overflow: 'latest' } },
        { timeoutMs: 2, heartbeat: { comment: 'beat' }, buffer: { overflow: 'drop-oldest' } },
      ),
    ).toMatchObject({
      timeoutMs: 2,
      retryMs: 5,
      heartbeat: { intervalMs: 10, comment: 'beat' },
      buffer: { maxBytes: 7, overflow: 'drop-oldest', stallTimeoutMs: 30_000 },
    });
  });

  it('take undefined for not there', () => {
    const undefinedTimeout = { timeoutMs: undefined, heartbeat: { intervalMs: undefined } } as unknown as RouteOptions;
    expect(resolve({ timeoutMs: 5, heartbeat: { intervalMs: 7 } }, undefinedTimeout)).toMatchObject({
      timeoutMs: 5,
      heartbeat: { intervalMs: 7, comment: 'heartbeat' },
    });
  });

  it('switch a group off and on again', () => {
    expect(resolve({ heartbeat: { intervalMs: 5 } }, { heartbeat: false }).heartbeat).toBe(false);
    expect(resolve({ heartbeat: false }).heartbeat).toBe(false);
    expect(resolve({ heartbeat: false }, { heartbeat: {} }).heartbeat).toEqual(DEFAULTS.heartbeat);
    expect(resolve({ endEvent: { type: 'end' } }).endEvent).toEqual({ type: 'end' });
    expect(resolve({ endEvent: { type: 'end' } }, { endEvent: false }).endEvent).toBe(false);
    expect(resolve({}, { endEvent: { type: 'bye' } }).endEvent).toEqual({ type: 'bye' });
  });

  it('switch single values off and on again', () => {
    expect(resolve({ timeoutMs: 5 }, { timeoutMs: false }).timeoutMs).toBe(false);
    expect(resolve({ timeoutMs: false }, { timeoutMs: 5 }).timeoutMs).toBe(5);
    expect(resolve({ retryMs: false }).retryMs).toBe(false);
  });

  it("have the module's limit on the process beside their own on the route", () => {
    const { limits } = resolve(
      { limits: { maxConnections: 100, maxPerPrincipal: 5, maxPerSocket: 6 } },
      { limits: { maxConnections: 10, maxPerSocket: false } },
    );
    expect(limits).toEqual({
      maxConnections: { process: 100, route: 10 },
      maxPerPrincipal: { process: 5, route: false },
      maxPerSocket: false,
      perPrincipalPolicy: 'reject',
    });
  });

  it("take the route's principal and key before the module's", () => {
    const [a, b, c] = [() => 'a', () => 'b', () => 'c'];
    expect(resolve({ principal: a, key: b }, { key: c })).toMatchObject({ principal: a, key: c });
  });

  it("take the route's finishMs before the module's", () => {
    expect(resolve({ shutdown: { finishMs: 5 } }).finishMs).toBe(5);
    expect(resolve({ shutdown: { finishMs: 5 } }, { shutdown: { finishMs: 0 } }).finishMs).toBe(0);
  });

  it('are refused, by name, when the route would finish later than the shutdown', () => {
    expect(() => resolve({ shutdown: { timeoutMs: 5_000 } }, { shutdown: { finishMs: 5_001 } })).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(
          /^@ManagedSse\(\) on ChatController\.stream: option "shutdown\.finishMs" is 5001; expected at most shutdown\.timeoutMs \(5000\)/,
        ) as unknown,
      }),
    );
    expect(resolve({ shutdown: { timeoutMs: 5_000 } }, { shutdown: { finishMs: 5_000 } }).finishMs).toBe(5_000);
  });

  it.each<[string, RouteOptions, RegExp]>([
    [
      'authorization that asks for nothing',
      { authorization: {} },
      /"authorization" is an object; expected at least one of revalidate and expiresAt/,
    ],
    ['authorization that has an interval alone', { authorization: { intervalMs: 5 } }, /expected at least one of revalidate and expiresAt/],
  ])('are refused with %s, on a route and on the module', (_what, options, message) => {
    expect(() => resolve({}, options)).toThrow(message);
    expect(() => resolve({}, options)).toThrow(/^@ManagedSse\(\) on ChatController\.stream: option/);
    expect(() => resolveModuleOptions(options)).toThrow(message);
    expect(() => resolveModuleOptions(options)).toThrow(/^SseSessionModule option/);
  });

  it('are refused with eviction unless the route has resume', () => {
    const limits = { perPrincipalPolicy: 'evict-oldest' as const };
    const message =
      /^@ManagedSse\(\) on ChatController\.stream: option "limits\.perPrincipalPolicy" is "evict-oldest"; expected 'reject', or resume to be on/;
    expect(() => resolve({}, { limits })).toThrow(message);
    expect(() => resolve({ limits }, {})).toThrow(message);
    expect(() => resolve({ limits, resume: {} }, { resume: false })).toThrow(message);
    expect(resolve({ limits }, { resume: {} }).limits.perPrincipalPolicy).toBe('evict-oldest');
    expect(resolve({ resume: {} }, { limits }).limits.perPrincipalPolicy).toBe('evict-oldest');
  });

  it('have resume and what follows an end by their own defaults, merged key by key', () => {
    expect(resolve({}, {})).toMatchObject({ resume: false });
    expect(resolve({ resume: { graceMs: 5 } }, { resume: { maxEvents: 7 } }).resume).toEqual({
      graceMs: 5,
      maxEvents: 7,
      maxBytes: 8_388_608,
      onDisconnect: 'detach',
    });
    expect(resolve({ resume: {} }, { resume: false }).resume).toBe(false);
    const { afterEnd } = resolve({ resume: {}, afterEnd: { timeout: 'restart' } }, { afterEnd: { shutdown: 'stop' } });
    expect(afterEnd).toEqual({
      complete: 'stop',
      'client-disconnect': 'restart',
      timeout: 'restart',
      'idle-timeout': 'stop',
      error: 'stop',
      'slow-client': 'restart',
      'dead-peer': 'restart',
      cancelled: 'stop',
      evicted: 'stop',
      unauthorized: 'restart',
      shutdown: 'stop',
    });
    expect(new Set(Object.values(resolve({ resume: {}, afterEnd: false }, {}).afterEnd))).toEqual(new Set(['restart']));
  });

  it('have an interval for authorization only when that is on', () => {
    const revalidate = (): boolean => true;
    expect(resolve({}).authorization).toBe(false);
    expect(resolve({ authorization: { revalidate } }).authorization).toEqual({ revalidate, intervalMs: 60_000 });
    expect(resolve({ authorization: { revalidate } }, { authorization: { intervalMs: 5 } }).authorization).toEqual({
      revalidate,
      intervalMs: 5,
    });
    expect(resolve({ authorization: { revalidate } }, { authorization: false }).authorization).toBe(false);
  });

  it('do not change what they were made of', () => {
    const module: SseSessionModuleOptions = Object.freeze({ heartbeat: Object.freeze({ intervalMs: 5 }) });
    resolve(module, { heartbeat: { intervalMs: 6 } });
    expect(resolve(module).heartbeat).toEqual({ intervalMs: 5, comment: 'heartbeat' });
    expect(DEFAULTS.heartbeat.intervalMs).toBe(15_000);
  });
});

describe('the options of the module', () => {
  it('have defaults for what is not of a route', () => {
    expect(resolveModuleOptions()).toMatchObject({
      maxTotalBytes: 268_435_456,
      channels: { maxBytes: 67_108_864, maxAgeMs: 300_000 },
      cleanup: { intervalMs: 30_000 },
      shutdown: { timeoutMs: 10_000, finishMs: 0, retryJitterMs: 5_000 },
    });
    expect(resolveModuleOptions({ shutdown: { timeoutMs: 5 }, cleanup: { intervalMs: 6 }, channels: { maxAgeMs: 7 } })).toMatchObject({
      channels: { maxBytes: 67_108_864, maxAgeMs: 7 },
      cleanup: { intervalMs: 6 },
      shutdown: { timeoutMs: 5, finishMs: 0, retryJitterMs: 5_000 },
    });
  });

  it('are refused when sessions would finish later than the shutdown', () => {
    expect(() => resolveModuleOptions({ shutdown: { timeoutMs: 5, finishMs: 6 } })).toThrow(/"shutdown\.finishMs" is 6; expected at most/);
  });

  it('are checked', () => {
    expect(() => resolveModuleOptions({ nope: 1 } as SseSessionModuleOptions)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
