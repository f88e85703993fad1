import { Readable } from 'node:stream';
import { describe, expect, it, jest } from '@jest/globals';
import { Observable, Subject, merge } from 'rxjs';
import { SourceRun, type SourceReader } from '../../../lib/session/source-run.js';
import type { SseSource } from '../../../lib/source/sse-source.js';
import { Stragglers } from '../../../lib/session/stragglers.js';
import { exposeGc } from '../../support/gc.js';
import { MemoryLogger, turns } from '../../support/memory-session.js';

function createReader() {
  return {
    id: 'id-1',
    route: 'GET /a',
    isReady: true as boolean,
    tellWhenReady: jest.fn(),
    handlerResolved: jest.fn(),
    onValue: jest.fn(),
    onSourceError: jest.fn(),
    onSourceComplete: jest.fn(),
  } satisfies SourceReader;
}

function createRun(reader: SourceReader = createReader(), logger = new MemoryLogger(), time = { now: 0 }): SourceRun {
  const kind = { afterMs: 5_000, message: (name: string, elapsedMs: number) => `${name} ${elapsedMs}` };
  return new SourceRun(reader, (producers = new Stragglers(kind, logger, () => time.now)), logger);
}

let producers: Stragglers;

/** An async iterable that never gives a value, and notes that it was told to stop. */
function stuckSource() {
  const stopped = jest.fn();
  const iterator = { next: () => new Promise<IteratorResult<unknown>>(() => undefined), return: stopped };
  return { stopped, source: { [Symbol.asyncIterator]: () => iterator } as unknown as AsyncIterable<unknown> };
}

describe('SourceRun', () => {
  it('lets go of every source that it was given, also those of earlier runs of the handler', () => {
    const run = createRun();
    const [first, second] = [stuckSource(), stuckSource()];
    run.adopt(first.source);
    run.read(run.adopt(second.source));
    expect([first.stopped, second.stopped].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    run.stop();
    expect([first.stopped, second.stopped].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('keeps nothing of a source that is over, however many come one after the other', async () => {
    const collect = exposeGc();
    const run = createRun();
    const read = (): WeakRef<object> => {
      const source = finite();
      run.read(run.adopt(source));
      return new WeakRef(source);
    };
    const over = read();
    for (let round = 0; round < 10 && over.deref(); round++) {
      await turns(2);
      read();
      collect();
    }
    expect(over.deref()).toBeUndefined();
  });

  it('wakes every paused source when its reader is ready', async () => {
    const reader = createReader();
    reader.isReady = false;
    const run = createRun(reader);
    run.read(merge(run.adopt(finite()), run.adopt(finite())));
    await turns(2);
    expect(reader.onValue).not.toHaveBeenCalled();
    reader.isReady = true;
    run.onReady();
    await turns(2);
    expect(reader.onValue.mock.calls).toEqual([[1], [1]]);
  });

  it('lets go at once, and unread, of a source that comes after the end', async () => {
    const reader = createReader();
    const run = createRun(reader);
    run.stop();
    const late = stuckSource();
    run.read(run.adopt(late.source));
    await turns(2);
    expect(late.stopped).toHaveBeenCalledTimes(1);
    expect(reader.tellWhenReady).not.toHaveBeenCalled();
  });

  it('takes nothing from a source that goes on after the end', () => {
    const reader = createReader();
    const run = createRun(reader);
    const values = new Subject<unknown>();
    run.read(values);
    values.next(1);
    run.stop();
    values.next(2);
    values.complete();
    expect(reader.onValue.mock.calls).toEqual([[1]]);
    expect(reader.onSourceComplete).not.toHaveBeenCalled();
  });

  it('reports, by the name of its session, what a source throws as it is stopped', () => {
    const logger = new MemoryLogger();
    const run = createRun(createReader(), logger);
    run.read(
      new Observable(() => () => {
        throw new Error('teardown');
      }),
    );
    run.stop();
    expect(logger.warnings).toEqual([
      expect.stringMatching(/^The source of session id-1 \(GET \/a\) failed while it was stopped: .*teardown/s),
    ]);
  });

  it('holds nothing of its session for a producer that does not stop', async () => {
    const collect = exposeGc();
    const { source } = stuckSource();
    const begin = (): { run: SourceRun; reader: WeakRef<object> } => {
      const reader = createReader();
      const run = createRun(reader);
      run.read(run.adopt(source));
      return { run, reader: new WeakRef(reader) };
    };
    const { run, reader } = begin();
    await turns(2);
    collect();
    expect(reader.deref()).toBeDefined();
    run.stop();
    // jest.fn() keeps no reader: what is left could only be held by the run
    for (let round = 0; round < 10 && reader.deref(); round++) {
      await turns(2);
      collect();
    }
    expect(reader.deref()).toBeUndefined();
    expect(run).toBeDefined();
  });

  it('reports a producer that still runs some seconds after it was told to stop, once, and not one that has stopped', async () => {
    const logger = new MemoryLogger();
    const time = { now: 0 };
    const run = createRun(createReader(), logger, time);
    let answer = (_: IteratorResult<unknown>): void => undefined;
    const iterator = { next: () => new Promise<IteratorResult<unknown>>((resolve) => (answer = resolve)) };
    run.read(run.adopt({ [Symbol.asyncIterator]: () => iterator } as AsyncIterable<unknown>));
    await turns(1);
    time.now = 60_000;
    producers.report();
    expect(logger.warnings).toEqual([]);
    run.stop();
    time.now += 4_999;
    producers.report();
    expect(logger.warnings).toEqual([]);
    time.now += 1;
    producers.report();
    producers.report();
    expect(logger.warnings).toEqual(['session id-1 (GET /a) 5000']);
    answer({ done: true, value: undefined });
    await turns(1);
    await producers.idle();
  });

  it.each<[string, (run: SourceRun) => void]>([
    ['a handler that has not returned', (run) => run.onWork()],
    ['a generator whose finally hangs', (run) => run.read(run.adopt(hangingAtItsEnd()))],
  ])('takes for running %s', async (_what, begin) => {
    const logger = new MemoryLogger();
    const time = { now: 0 };
    const run = createRun(createReader(), logger, time);
    begin(run);
    await turns(2);
    run.stop();
    await turns(2);
    time.now = 5_000;
    producers.report();
    expect(logger.warnings).toEqual(['session id-1 (GET /a) 5000']);
  });

  it.each<[string, () => SseSource]>([
    ['nothing', () => undefined],
    ['an Observable', () => new Observable(() => undefined)],
    ['a generator', () => generate()],
    ['a ReadableStream', () => new ReadableStream()],
    ['a Readable', () => new Readable({ read: () => undefined })],
  ])('takes for stopped %s that stops when it is told to', async (_what, source) => {
    const logger = new MemoryLogger();
    const time = { now: 0 };
    const run = createRun(createReader(), logger, time);
    run.onWork();
    run.read(run.adopt(source()));
    run.onWorkDone();
    await turns(2);
    run.stop();
    await turns(2);
    time.now = 5_000;
    producers.report();
    expect(logger.warnings).toEqual([]);
  });
});

async function* finite(): AsyncGenerator<number> {
  yield 1;
}

async function* generate(): AsyncGenerator<number> {
  for (let n = 0; ; n++) yield n;
}

async function* hangingAtItsEnd(): AsyncGenerator<number> {
  try {
    yield 1;
    await turns(1);
    yield 2;
  } finally {
    await new Promise(() => undefined);
  }
}
