import { describe, expect, it, jest } from '@jest/globals';
import { Observable, Subject } from 'rxjs';
import { SourceRun, type SourceReader } from '../../../lib/session/source-run.js';
import { exposeGc } from '../../support/gc.js';
import { MemoryLogger, turns } from '../../support/memory-session.js';

function createReader() {
  return {
    id: 'id-1',
    route: 'GET /a',
    isReady: true,
    tellWhenReady: jest.fn(),
    onValue: jest.fn(),
    onSourceError: jest.fn(),
    onSourceComplete: jest.fn(),
  } satisfies SourceReader;
}

/** An async iterable that never gives a value, and notes that it was told to stop. */
function stuckSource() {
  const stopped = jest.fn();
  const iterator = { next: () => new Promise<IteratorResult<unknown>>(() => undefined), return: stopped };
  return { stopped, source: { [Symbol.asyncIterator]: () => iterator } as unknown as AsyncIterable<unknown> };
}

describe('SourceRun', () => {
  it('lets go of every source that it was given, also those of earlier runs of the handler', () => {
    const run = new SourceRun(createReader(), new MemoryLogger());
    const [first, second] = [stuckSource(), stuckSource()];
    run.adopt(first.source);
    run.read(run.adopt(second.source));
    expect([first.stopped, second.stopped].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    run.stop();
    expect([first.stopped, second.stopped].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('lets go at once, and unread, of a source that comes after the end', async () => {
    const reader = createReader();
    const run = new SourceRun(reader, new MemoryLogger());
    run.stop();
    const late = stuckSource();
    run.read(run.adopt(late.source));
    await turns(2);
    expect(late.stopped).toHaveBeenCalledTimes(1);
    expect(reader.tellWhenReady).not.toHaveBeenCalled();
  });

  it('takes nothing from a source that goes on after the end', () => {
    const reader = createReader();
    const run = new SourceRun(reader, new MemoryLogger());
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
    const run = new SourceRun(createReader(), logger);
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
      const run = new SourceRun(reader, new MemoryLogger());
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
});
