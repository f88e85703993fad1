import { AsyncResource, createHook } from 'node:async_hooks';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Subject } from 'rxjs';
import { createChannelLog } from '../../lib/channel/channel-log.js';
import { Channels } from '../../lib/channel/channels.js';
import { Alarm } from '../../lib/clock/timer-wheel.js';
import { SseEvent, sseEvent } from '../../lib/event/sse-event.js';
import type { RouteOptions } from '../../lib/options/options.js';
import { resolveRouteOptions } from '../../lib/options/resolve.js';
import { ManagedSession } from '../../lib/session/managed-session.js';
import { MemoryResponse } from '../../lib/testing/memory-response.js';
import { exposeGc } from '../support/gc.js';
import { LiveObjects } from '../support/live-objects.js';
import { MemoryApp, handle, turns } from '../support/memory-session.js';

/*
 * What events, heartbeats and idle sessions cost is counted here, not timed: a promise, a timer or a closure more than before is seen on any
 * machine. The numbers are what there is at present; whoever raises one should know why.
 */

// the heap is walked some forty times
jest.setTimeout(120_000);

const ROUTE = 'GET /cost';
const nothing = (): void => undefined;

/** Sessions that share all that the sessions of a route share, with nothing of the tests' own in them. */
class Sessions {
  readonly app = new MemoryApp();
  readonly responses: MemoryResponse[] = [];
  readonly all: ManagedSession[] = [];
  readonly #identity;

  constructor(options: RouteOptions = {}) {
    this.#identity = {
      route: ROUTE,
      options: resolveRouteOptions(this.app.registry.options, { deadPeer: false, ...options }, ROUTE),
      hooks: {},
      principal: undefined,
      key: undefined,
      remoteAddress: '127.0.0.1',
      authorizedUntil: undefined,
    };
  }

  open(count: number, begin: (session: ManagedSession) => unknown = nothing): this {
    for (let n = 0; n < count; n++) {
      const response = new MemoryResponse();
      const session = new ManagedSession(this.app.registry, this.#identity, response, nothing);
      session.start();
      session.open();
      begin(session);
      this.responses.push(response);
      this.all.push(session);
    }
    return this;
  }

  /** How often all responses together were written to. */
  get writes(): number {
    return this.responses.reduce((sum, { writes }) => sum + writes, 0);
  }
}

/** The asynchronous resources, by type, that `work` and the end of its turn make. */
function resourcesOf(work: () => void): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const hook = createHook({ init: (_id, type) => void (counts[type] = (counts[type] ?? 0) + 1) });
  return new Promise((resolve) => {
    // one right after the other: in between there is nothing but the ticks and microtasks of the work
    setImmediate(() => {
      hook.enable();
      work();
    });
    setImmediate(() => {
      hook.disable();
      resolve(counts);
    });
  });
}

afterEach(() => {
  jest.restoreAllMocks();
});

describe('an event', () => {
  /** How often something with this in it was encoded. */
  function countEncoded(payload: string, send: () => void): { encoded: number; serialized: number } {
    const byteLength = jest.spyOn(Buffer, 'byteLength');
    const stringify = jest.spyOn(JSON, 'stringify');
    send();
    return {
      encoded: byteLength.mock.calls.filter(([text]) => typeof text === 'string' && text.includes(payload)).length,
      serialized: stringify.mock.results.filter(({ value }) => String(value).includes(payload)).length,
    };
  }

  it('of sseEvent() is serialized and encoded once for 100 sessions', async () => {
    const sessions = new Sessions().open(100);
    const counted = countEncoded('shared', () => {
      const event = sseEvent({ data: { text: 'shared' } });
      for (const session of sessions.all) session.send(event);
    });
    await turns();
    expect(counted).toEqual({ encoded: 1, serialized: 1 });
    expect(sessions.responses.filter(({ received }) => received.includes('shared'))).toHaveLength(100);
  });

  it('that is a plain object is serialized and encoded once per session', async () => {
    const sessions = new Sessions({ serializer: (data) => JSON.stringify(data) }).open(100);
    const counted = countEncoded('plain', () => {
      for (const session of sessions.all) session.send({ data: { text: 'plain' } });
    });
    await turns();
    expect(counted).toEqual({ encoded: 100, serialized: 100 });
  });

  it.each([1, 10])('leaves in one write with what the session gets in the same turn: %i events', async (events) => {
    const sessions = new Sessions().open(1);
    const before = sessions.writes;
    for (let turn = 1; turn <= 3; turn++) {
      for (let n = 0; n < events; n++) sessions.all[0]?.send(`event ${n}`);
      await turns();
      expect(sessions.writes - before).toBe(turn);
    }
  });

  it('makes no promise, timer or immediate on its way out, and there is one tick a turn for all sessions together', async () => {
    const source = new Subject<unknown>();
    const sessions = new Sessions().open(100, (session) => handle(session, source));
    const publish = (): void => {
      for (const value of ['text', { data: 'a plain object' }, sseEvent({ data: 'shared' })]) source.next(value);
    };
    publish();
    await turns();
    const before = sessions.writes;
    for (let turn = 0; turn < 20; turn++) expect(await resourcesOf(publish)).toEqual({ TickObject: 1 });
    expect(sessions.writes - before).toBe(20 * 100);
  });

  it('of a resumable session makes none either, whether its client is there or not', async () => {
    const resume = {};
    const source = new Subject<unknown>();
    const attached = new Sessions({ resume }).open(100, (session) => handle(session, source));
    const detached = new Sessions({ resume }).open(100, (session) => handle(session, source));
    const publish = (): void => {
      for (const value of ['text', { data: 'a plain object' }, sseEvent({ data: 'shared' })]) source.next(value);
    };
    publish();
    await turns();
    for (const response of detached.responses) response.disconnect();
    expect(detached.all.every(({ state }) => state === 'detached')).toBe(true);
    const before = attached.writes;
    const schedules = [attached, detached].map(({ app }) => jest.spyOn(app.clock, 'schedule'));
    for (let turn = 0; turn < 20; turn++) expect(await resourcesOf(publish)).toEqual({ TickObject: 1 });
    expect(attached.writes - before).toBe(20 * 100);
    expect(schedules.map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    expect(detached.all[0]?.state).toBe('detached');
    for (const { all } of [attached, detached]) for (const session of all) session.end('unauthorized');
  });

  it('is counted rightly: the hook sees each kind of resource, of the tests as well', async () => {
    const seen = await resourcesOf(() => {
      void new Promise(nothing);
      clearTimeout(setTimeout(nothing));
      clearImmediate(setImmediate(nothing));
      process.nextTick(nothing);
    });
    expect(seen).toEqual({ PROMISE: 1, Timeout: 1, Immediate: 1, TickObject: 1 });
  });
});

describe('a heartbeat', () => {
  async function heartbeatsOf(count: number): Promise<{ writes: number; timers: number; resources: Record<string, number> }> {
    const sessions = new Sessions().open(count);
    const { clock } = sessions.app;
    const before = sessions.writes;
    const schedule = jest.spyOn(clock, 'schedule');
    const resources = await resourcesOf(() => clock.advance(15_000));
    return { writes: sessions.writes - before, timers: schedule.mock.calls.length, resources };
  }

  it('makes no promise nor anything else that is asynchronous', async () => {
    expect(await heartbeatsOf(1_000)).toMatchObject({ writes: 1_000, resources: {} });
    expect((await heartbeatsOf(1_000)).resources).toEqual({});
  });

  it('arms as many timers for 1,000 sessions of one slot as for one', async () => {
    const one = await heartbeatsOf(1);
    const many = await heartbeatsOf(1_000);
    expect(one.writes).toBe(1);
    expect(many.writes).toBe(1_000);
    expect(many.timers).toBe(one.timers);
    // one as the slot of the lifetimes is passed, which the wheel does once a turn; two as the heartbeats set themselves anew, and as it sleeps
    expect(many.timers).toBe(3);
  });

  it('puts no timer in the place of another while sessions open', () => {
    const sessions = new Sessions();
    const schedule = jest.spyOn(sessions.app.clock, 'schedule');
    sessions.open(1);
    const first = schedule.mock.calls.length;
    sessions.open(999);
    expect(schedule.mock.calls.length).toBe(first);
  });
});

describe('an open session', () => {
  const SESSIONS = 200;

  /** Closures, of the library and of RxJS, and what else is likely to creep in. Objects that Node makes in its own context stand apart. */
  const counted = { closures: Function, arrays: Array, maps: Map, sets: Set, promises: Promise, alarms: Alarm };
  const countedInNode = {
    nodeClosures: AsyncResource.constructor as new () => unknown,
    asyncResources: AsyncResource,
    abortControllers: AbortController,
    abortSignals: AbortSignal,
  };

  /**
   * Nobody reads a source, as with a handler that returns nothing.
   * - the array is one of the MemoryResponse; a table of hooks would be four more
   * - alarms: of the session and of its connection
   * - the resource: the context of its request
   */
  const IDLE = {
    closures: 0,
    arrays: 1,
    maps: 0,
    sets: 0,
    promises: 0,
    alarms: 2,
    nodeClosures: 0,
    asyncResources: 1,
    abortControllers: 0,
    abortSignals: 0,
  };

  /** The closure and the array are those of RxJS. */
  const READING = { closures: 1, arrays: IDLE.arrays + 1, maps: 0, sets: 0, promises: 0, asyncResources: 1 };

  const source = new Subject<unknown>();
  const kinds: [string, Record<string, number>, (session: ManagedSession) => unknown][] = [
    ['that is idle', IDLE, nothing],
    ['that reads a source', READING, (session) => handle(session, source)],
    ['whose signal was asked for', { abortControllers: 1, abortSignals: 1 }, (session) => session.signal],
    ['that has a hook of its own', { closures: 0, arrays: IDLE.arrays + 4 }, (session) => session.onCompletion(nothing)],
  ];
  it.each(kinds)('%s adds exactly these objects', async (_kind, bounds, begin) => {
    const liveObjects = new LiveObjects(counted, countedInNode);
    const sessions = new Sessions();
    const open = async (count: number): Promise<Record<string, number>> => {
      sessions.open(count, begin);
      await turns();
      return liveObjects.count(Object.keys(bounds));
    };
    try {
      // what the first ones bring with them is no session's
      const before = await open(10);
      const after = await open(SESSIONS);
      const perSession = Object.entries(after).map(
        ([kind, count]) => [kind, Math.round(Math.abs(count - (before[kind] ?? 0)) / SESSIONS)] as const,
      );
      expect(sessions.app.registry.size).toBe(SESSIONS + 10);
      expect(perSession).toHaveLength(Object.keys(bounds).length);
      expect(Object.fromEntries(perSession)).toEqual(bounds);
    } finally {
      liveObjects.dispose();
    }
  });

  it('weighs no more than 1.9 KB, its response left out, when it reads a source', async () => {
    const COUNT = 5_000;
    const gc = exposeGc();
    /** The heap that `make` leaves behind each time, in bytes: the least of some tries, as a compiler may be at work meanwhile. */
    const weigh = async (make: () => unknown): Promise<number> => {
      const tries: number[] = [];
      for (let n = 0; n < 3; n++) {
        gc();
        const before = process.memoryUsage().heapUsed;
        const kept = make();
        await turns();
        gc();
        tries.push((process.memoryUsage().heapUsed - before) / COUNT);
        expect(kept).toBeDefined();
      }
      return Math.min(...tries);
    };
    // an id that is a rope of twenty strings would add 0.4 KB, an object with a hidden class of its own 0.3 KB
    const withResponse = await weigh(() => new Sessions().open(COUNT, (session) => handle(session, source)));
    const responseAlone = await weigh(() => Array.from({ length: COUNT }, () => new MemoryResponse()));
    const weight = withResponse - responseAlone;
    expect(weight).toBeGreaterThan(1_000);
    expect(weight).toBeLessThan(1_900);
  });
});

describe('a detached session', () => {
  it('weighs what the statistics say of its log, and no more than 2 KB beside', async () => {
    const COUNT = 1_000;
    const EVENTS = 20;
    const gc = exposeGc();
    const heap = (): number => {
      gc();
      gc();
      return process.memoryUsage().heapUsed;
    };
    // in a function, so that nothing of one is left for the next to find
    const weigh = async (): Promise<{ weight: number; logged: number }> => {
      const before = heap();
      const sessions = new Sessions({ resume: {} }).open(COUNT);
      const logged = sessions.app.registry.directory.held.bytes;
      for (const [index, session] of sessions.all.entries()) {
        // one text each, which is flat and of one byte a character
        for (let event = 0; event < EVENTS; event++) session.send(`${index}-${event} `.padEnd(1_000, 'x'));
      }
      await turns();
      for (const response of sessions.responses.splice(0)) response.disconnect();
      await turns();
      expect(sessions.app.registry.connections.size).toBe(0);
      expect(sessions.all.filter(({ state }) => state === 'detached')).toHaveLength(COUNT);
      const weight = (heap() - before) / COUNT;
      const held = (sessions.app.registry.directory.held.bytes - logged) / COUNT;
      for (const session of sessions.all) session.end('unauthorized');
      return { weight, logged: held };
    };
    const tries = [await weigh(), await weigh(), await weigh()];
    const logged = tries[0]?.logged as number;
    expect(logged).toBeGreaterThan(EVENTS * 1_000);
    const beside = Math.min(...tries.map(({ weight }) => weight)) - logged;
    if (process.env.SHOW_COST) console.log(tries, beside);
    expect(beside).toBeLessThan(2_048);
    // the statistics do not say more than there is, by more than what the object of an event is reckoned with
    expect(beside).toBeGreaterThan(-EVENTS * 136);
  });
});

describe('an event of a channel', () => {
  it.each([
    ['that nobody has read', false],
    ['that was read', true],
  ])('%s is in memory once, and no more than 600 bytes beside', async (_, isRead) => {
    const COUNT = 2_000;
    const gc = exposeGc();
    const tries: number[] = [];
    // whatever else is collected in between, these are not
    const kept: Channels[] = [];
    for (let n = 0; n < 3; n++) {
      const channels = new Channels(createChannelLog({ maxBytes: 100_000_000, maxAgeMs: 100_000 }, () => 0));
      kept.push(channels);
      const channel = channels.channel('a');
      // what reads must not keep
      const subscription = isRead ? channel.stream().subscribe((event) => Buffer.from(SseEvent.encoded(event).text)) : undefined;
      await turns();
      gc();
      const before = process.memoryUsage().heapUsed;
      for (let event = 0; event < COUNT; event++) await channel.publish({ event, text: 'x'.repeat(10_000) });
      gc();
      tries.push((process.memoryUsage().heapUsed - before - channels.stats().bytes) / COUNT);
      subscription?.unsubscribe();
    }
    if (process.env.SHOW_COST) console.log(tries);
    expect(kept.every((channels) => channels.stats().events === COUNT)).toBe(true);
    // what is collected beside it makes a try too small, never too large: one may well be
    expect(Math.max(...tries)).toBeGreaterThan(100);
    expect(Math.min(...tries)).toBeLessThan(600);
  });
});
