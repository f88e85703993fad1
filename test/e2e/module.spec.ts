import { expect, it, jest } from '@jest/globals';
import { Controller, Get, type INestApplication, Inject, Injectable, Module } from '@nestjs/common';
import { Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import {
  CurrentSession,
  ManagedSse,
  SessionManager,
  SseSession,
  SseSessionModule,
  type SseSessionModuleOptions,
  type SseSessionOptionsFactory,
  type SseSource,
} from 'nestjs-sse-session';
import { RANDOM, fakeRandom } from 'nestjs-sse-session/testing';
import { NEVER } from 'rxjs';
import { type AppDescription, describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { turns } from '../support/life.js';
import { connect } from '../support/raw-client.js';

const CLEANUP_JOB = 'sse-session-cleanup';

@Controller()
class StreamController {
  @ManagedSse('stream')
  stream(@CurrentSession() session: SseSession): SseSource {
    session.send('hello');
    return NEVER;
  }

  @ManagedSse('own', { retryMs: 7, heartbeat: false, buffer: { maxBytes: 5 } })
  own(): SseSource {
    return NEVER;
  }
}

@Injectable()
class Settings {
  readonly retryMs: number = 333;
}

@Module({ providers: [Settings], exports: [Settings] })
class SettingsModule {}

@Injectable()
class OptionsFactory implements SseSessionOptionsFactory {
  constructor(@Inject(Settings) private readonly settings: Settings) {}

  async createSseSessionOptions(): Promise<SseSessionModuleOptions> {
    return { retryMs: this.settings.retryMs };
  }
}

@Module({ imports: [SettingsModule], providers: [OptionsFactory], exports: [OptionsFactory] })
class OptionsFactoryModule {}

let ticks = 0;
let firstTickAt = 0;
const TICK_MS = 20;

@Injectable()
class Ticker {
  @Interval('own-job', TICK_MS)
  tick(): void {
    if (ticks++ === 0) firstTickAt = performance.now();
  }
}

const intervalsOf = (app: INestApplication): string[] => app.get(SchedulerRegistry, { strict: false }).getIntervals();

describeEachAdapter('SseSessionModule', ({ startApp }) => {
  const start = (imports: AppDescription['imports'], more: Partial<AppDescription> = {}) =>
    startApp({
      imports: imports ?? [],
      controllers: [StreamController],
      overrides: (builder) => builder.overrideProvider(RANDOM).useValue(fakeRandom(0)),
      ...more,
    });

  const beginningOf = async (port: number, path = '/stream'): Promise<string> => {
    const client = await connect(port);
    const { body } = await client.request('GET', path).waitFor('\n');
    await client.fin();
    return body.slice(0, body.indexOf('\n'));
  };

  it.each<[string, () => AppDescription['imports'], string]>([
    ['forRoot() with nothing', () => [SseSessionModule.forRoot()], 'retry: 2000'],
    ['forRoot() with options', () => [SseSessionModule.forRoot({ retryMs: 333 })], 'retry: 333'],
    ['forRoot() with an option that is undefined', () => [SseSessionModule.forRoot({ retryMs: undefined })], 'retry: 2000'],
    [
      'forRootAsync() with useFactory and inject',
      () => [
        SseSessionModule.forRootAsync({
          imports: [SettingsModule],
          inject: [Settings],
          useFactory: async (settings: Settings) => ({ retryMs: settings.retryMs }),
        }),
      ],
      'retry: 333',
    ],
    [
      'forRootAsync() with useClass',
      () => [SseSessionModule.forRootAsync({ imports: [SettingsModule], useClass: OptionsFactory })],
      'retry: 333',
    ],
    [
      'forRootAsync() with useExisting',
      () => [SseSessionModule.forRootAsync({ imports: [OptionsFactoryModule], useExisting: OptionsFactory })],
      'retry: 333',
    ],
  ])('takes its options by %s', async (_how, imports, expected) => {
    const { port } = await start(imports());
    expect(await beginningOf(port)).toBe(expected);
  });

  it('merges the options of a route over its own, key by key', async () => {
    const { port, app } = await start([SseSessionModule.forRoot({ retryMs: 333, buffer: { overflow: 'drop-oldest' } })]);
    expect(await beginningOf(port, '/own')).toBe('retry: 7');
    const client = await connect(port);
    await client.request('GET', '/own').waitFor('retry');
    const [session] = app.get(SessionManager).find({ route: 'GET /own', state: 'open' });
    // maxBytes of the route, overflow of the module: more in one turn than the response takes
    for (let i = 0; i < 20; i++) expect(session?.send('x'.repeat(10_000))).toBe('accepted');
    session?.send('last');
    expect(session).toMatchObject({ state: 'open' });
    expect(session?.eventsDropped).toBeGreaterThan(0);
    await client.waitFor('data: last\n\n');
  });

  it('is global unless it is told not to be', async () => {
    @Injectable()
    class Feature {
      constructor(@Inject(SessionManager) readonly sessions: SessionManager) {}
    }
    @Module({ providers: [Feature] })
    class WithoutImport {}
    const session = SseSessionModule.forRoot({ isGlobal: false });
    @Module({ imports: [session], providers: [Feature], controllers: [StreamController] })
    class WithImport {}

    const { app } = await start([SseSessionModule.forRoot(), WithoutImport]);
    expect(app.get(Feature, { strict: false }).sessions).toBe(app.get(SessionManager));

    const { app: other, port } = await start([session, WithImport], { controllers: [] });
    expect(other.get(Feature, { strict: false }).sessions).toBe(other.get(SessionManager));
    expect(await beginningOf(port)).toBe('retry: 2000');

    await expect(start([session, WithoutImport], { controllers: [] })).rejects.toThrow(/can't resolve dependencies of the Feature/);
    await expect(start([SseSessionModule.forRootAsync({ useFactory: () => ({}), isGlobal: false }), WithoutImport])).rejects.toThrow(
      /can't resolve dependencies/,
    );
  });

  it.each<[string, object, string]>([
    ['timeoutMs', { timeoutMs: 0 }, 'is 0; expected false to switch it off (0 never means infinite), or a positive value'],
    ['timeoutMs', { timeoutMs: '5s' }, 'is "5s"; expected a whole number of milliseconds'],
    ['heartbeat.intervalMs', { heartbeat: { intervalMs: 1.5 } }, 'is 1.5; expected a whole number of milliseconds'],
    ['heartbeat.comment', { heartbeat: { comment: 'two\nlines' } }, 'expected a string without CR, LF or NUL'],
    ['heartbeat', { heartbeat: true }, 'is true; expected an object with intervalMs, comment'],
    ['openOn', { openOn: 'start' }, `is "start"; expected 'handler' or 'first-event'`],
    ['buffer.overflow', { buffer: { overflow: 'block' } }, 'is "block"'],
    ['limits.maxConnections', { limits: { maxConnections: Infinity } }, 'is Infinity'],
    ['principal', { principal: 'ada' }, 'is "ada"; expected a function'],
    ['endEvent.type', { endEvent: {} }, 'is undefined; expected a value'],
    ['cleanup.intervalMs', { cleanup: { intervalMs: -1 } }, 'is -1'],
    ['shutdown.finishMs', { shutdown: { finishMs: 20_000 } }, 'is 20000; expected at most shutdown.timeoutMs (10000)'],
    ['hearbeat', { hearbeat: false }, 'is unknown; expected one of heartbeat,'],
    ['buffer.max', { buffer: { max: 5 } }, 'is unknown; expected one of maxBytes,'],
  ])('stops the application for a bad %s (%j), by name', async (name, options, message) => {
    const failure = { code: 'INVALID_OPTION', message: expect.stringMatching(new RegExp(`"${name}" `)) as unknown };
    await expect(start([SseSessionModule.forRoot(options)])).rejects.toMatchObject(failure);
    await expect(start([SseSessionModule.forRoot(options)])).rejects.toThrow(message);
    await expect(start([SseSessionModule.forRootAsync({ useFactory: () => options })])).rejects.toMatchObject(failure);
  });

  it('stops the application for options of a route that do not go with its own', async () => {
    @Controller('late')
    class LateController {
      @ManagedSse('', { shutdown: { finishMs: 5_000 } })
      stream(): SseSource {
        return NEVER;
      }
    }
    const options = { shutdown: { timeoutMs: 1_000 } };
    await expect(start([SseSessionModule.forRoot(options)], { controllers: [LateController] })).rejects.toThrow(
      '@ManagedSse() on LateController.stream: option "shutdown.finishMs" is 5000; expected at most shutdown.timeoutMs (1000)',
    );
  });

  it.each<[string, () => unknown, string]>([
    ['null', () => SseSessionModule.forRoot(null as never), 'SseSessionModule.forRoot() takes an object of options; got null.'],
    ['an array', () => SseSessionModule.forRoot([] as never), 'SseSessionModule.forRoot() takes an object of options; got an array.'],
    ['no provider', () => SseSessionModule.forRootAsync({}), 'expected useFactory, useClass or useExisting'],
  ])('says at once what is wrong with %s for its options', (_what, importIt, message) => {
    expect(importIt).toThrow(message);
  });

  it('says so when the factory of its options gives none', async () => {
    await expect(start([SseSessionModule.forRootAsync({ useFactory: () => undefined as never })])).rejects.toThrow(
      'SseSessionModule (forRoot(), or the factory of forRootAsync()) takes an object of options; got undefined.',
    );
  });

  it('says so when it is imported twice', async () => {
    await expect(start([SseSessionModule.forRoot(), SseSessionModule.forRoot({ retryMs: 5 })])).rejects.toMatchObject({
      code: 'DUPLICATE_MODULE',
      message: expect.stringContaining('import forRoot() once') as unknown,
    });
  });

  it('runs its job without a ScheduleModule in the application, and does not bring one', async () => {
    const { app } = await start([SseSessionModule.forRoot({ cleanup: { intervalMs: 10 } })], { providers: [Ticker] });
    ticks = 0;
    expect(() => app.get(SchedulerRegistry, { strict: false })).toThrow();
    await eventually(() => expect(app.get(SessionManager).stats().lastCleanup).toMatchObject({ examined: 0, ended: {} }));
    expect(ticks).toBe(0);
  });

  it('runs its job in the SchedulerRegistry of the application, whose own intervals fire as often as before', async () => {
    ticks = 0;
    const { app } = await start([ScheduleModule.forRoot(), SseSessionModule.forRoot({ cleanup: { intervalMs: 10 } })], {
      providers: [Ticker],
    });
    expect(intervalsOf(app).sort()).toEqual(['own-job', CLEANUP_JOB]);
    await eventually(() => expect(app.get(SessionManager).stats().lastCleanup).toBeDefined());
    await eventually(() => expect(ticks).toBeGreaterThan(5));
    // Node's timers are never early: were there two of them, this would be twice as much
    expect(ticks - 1).toBeLessThanOrEqual((performance.now() - firstTickAt) / (TICK_MS - 1) + 1);
  });

  it('lets the application delete its job', async () => {
    const { app, close } = await start([ScheduleModule.forRoot(), SseSessionModule.forRoot({ cleanup: { intervalMs: 10 } })]);
    const manager = app.get(SessionManager);
    await eventually(() => expect(manager.stats().lastCleanup).toBeDefined());
    app.get(SchedulerRegistry).deleteInterval(CLEANUP_JOB);
    expect(intervalsOf(app)).toEqual([]);
    // a run that was due may still come
    await turns();
    const last = manager.stats().lastCleanup;
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(manager.stats().lastCleanup).toBe(last);
    expect(manager.cleanup()).not.toBe(last);
    await close();
  });

  it('deletes its job when the application stops', async () => {
    const clear = jest.spyOn(globalThis, 'clearInterval');
    try {
      const { app, close } = await start([ScheduleModule.forRoot(), SseSessionModule.forRoot()]);
      const schedulers = app.get(SchedulerRegistry);
      const job: unknown = schedulers.getInterval(CLEANUP_JOB);
      await close();
      expect(schedulers.doesExist('interval', CLEANUP_JOB)).toBe(false);
      expect(clear.mock.calls.map(([timer]) => timer)).toContain(job);
    } finally {
      clear.mockRestore();
    }
  });

  it('leaves the other routes of the application alone', async () => {
    @Controller('plain')
    class PlainController {
      @Get()
      plain(): object {
        return { plain: true };
      }
    }
    const { url } = await start([SseSessionModule.forRoot({ limits: { maxConnections: 1 } })], { controllers: [PlainController] });
    const response = await fetch(`${url}/plain`);
    expect([response.status, await response.json()]).toEqual([200, { plain: true }]);
  });
});
