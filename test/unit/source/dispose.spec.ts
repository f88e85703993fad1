import { Readable } from 'node:stream';
import { describe, expect, it, jest } from '@jest/globals';
import { disposeSource, ignoreErrorEvents } from '../../../lib/source/dispose.js';
import { turns } from '../../support/memory-session.js';

const ASYNC_DISPOSE = (Symbol as unknown as { asyncDispose: symbol }).asyncDispose;
const DISPOSE = (Symbol as unknown as { dispose: symbol }).dispose;

function dispose(source: object, iterator?: AsyncIterator<unknown>) {
  const report = jest.fn<(error: unknown) => void>();
  void disposeSource(source, iterator, report);
  return report;
}

describe('disposeSource', () => {
  it.each([
    ['destroy()', 'destroy'],
    ['cancel()', 'cancel'],
    ['Symbol.asyncDispose', ASYNC_DISPOSE],
    ['Symbol.dispose', DISPOSE],
    ['return()', 'return'],
  ])('calls %s, on the source itself', (_, name) => {
    const method = jest.fn(function (this: unknown) {
      return this;
    });
    const source = { [name]: method };
    dispose(source);
    expect(method.mock.results).toEqual([{ type: 'return', value: source }]);
  });

  it('takes the first of destroy, cancel, asyncDispose and dispose, as they do the same', () => {
    const names = ['destroy', 'cancel', ASYNC_DISPOSE, DISPOSE];
    for (let first = 0; first < names.length; first++) {
      const source = Object.fromEntries(names.slice(first).map((name) => [name, jest.fn()]));
      dispose(source);
      const called = names.slice(first).map((name) => (source[name as string] as jest.Mock).mock.calls.length);
      expect(called).toEqual([1, ...Array<number>(names.length - first - 1).fill(0)]);
    }
  });

  it('asks in every other way when one of them cannot even be looked for', () => {
    const source = {
      get controller(): never {
        throw new Error('no controller');
      },
      destroy: jest.fn(),
    };
    const iterator = { next: jest.fn<() => Promise<IteratorResult<unknown>>>(), return: jest.fn<() => Promise<IteratorResult<unknown>>>() };
    const report = dispose(source, iterator);
    expect(source.destroy).toHaveBeenCalledTimes(1);
    expect(iterator.return).toHaveBeenCalledTimes(1);
    expect(report.mock.calls).toEqual([[new Error('no controller')]]);
  });

  it("aborts the controller that an LLM SDK's stream carries, and returns its iterator", () => {
    const controller = new AbortController();
    const iterator = {
      next: jest.fn<() => Promise<IteratorResult<unknown>>>(),
      return: jest.fn(async () => ({ done: true as const, value: 1 })),
    };
    dispose({ controller, [Symbol.asyncIterator]: () => iterator }, iterator);
    expect(controller.signal.aborted).toBe(true);
    expect(iterator.return).toHaveBeenCalledTimes(1);
  });

  it('aborts the controller of a stream that was never read, without making an iterator of it', () => {
    const controller = new AbortController();
    const iterate = jest.fn();
    dispose({ controller, [Symbol.asyncIterator]: iterate });
    expect(controller.signal.aborted).toBe(true);
    expect(iterate).not.toHaveBeenCalled();
  });

  it('leaves alone what is called controller but is none', () => {
    const abort = jest.fn();
    dispose({ controller: null });
    dispose({ controller: { abort } });
    expect(abort).not.toHaveBeenCalled();
  });

  it('tells the iterator of a source that offers nothing else', () => {
    const iterator = { return: jest.fn() };
    dispose({ [Symbol.asyncIterator]: () => iterator });
    expect(iterator.return).toHaveBeenCalledTimes(1);
  });

  it('ends an async generator that was never started, before its first line', async () => {
    const begun = jest.fn();
    const generator = (async function* () {
      begun();
      yield 1;
    })();
    dispose(generator);
    await expect(generator.next()).resolves.toEqual({ done: true, value: undefined });
    expect(begun).not.toHaveBeenCalled();
  });

  it('runs the finally of an async generator that was', async () => {
    const cleaned = jest.fn();
    const generator = (async function* () {
      try {
        yield 1;
        yield 2;
      } finally {
        cleaned();
      }
    })();
    await generator.next();
    dispose(generator, generator);
    await turns(1);
    expect(cleaned).toHaveBeenCalledTimes(1);
  });

  it('destroys a Readable, and bears the error that it may still emit', async () => {
    const readable = new Readable({
      read: () => undefined,
      destroy: (_, callback) => callback(new Error('late')),
    });
    ignoreErrorEvents(readable);
    dispose(readable);
    await turns(2);
    expect(readable.destroyed).toBe(true);
  });

  it('cancels a ReadableStream, and does not touch one that somebody reads', async () => {
    const cancel = jest.fn<() => void>();
    dispose(new ReadableStream({ cancel }));
    expect(cancel).toHaveBeenCalledTimes(1);

    const locked = new ReadableStream({ cancel });
    const reader = locked.getReader();
    const report = dispose(locked, { next: jest.fn<() => Promise<IteratorResult<unknown>>>() });
    expect(cancel).toHaveBeenCalledTimes(1);
    expect(report).not.toHaveBeenCalled();
    await reader.cancel();
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('reports a source that %s at that, and tries the other ways all the same', async (_, destroy) => {
    const controller = new AbortController();
    const iterator = { next: jest.fn<() => Promise<IteratorResult<unknown>>>(), return: jest.fn<() => Promise<IteratorResult<unknown>>>() };
    const report = dispose({ controller, destroy }, iterator);
    await turns(1);
    expect(report.mock.calls).toEqual([[new Error('no')]]);
    expect(controller.signal.aborted).toBe(true);
    expect(iterator.return).toHaveBeenCalledTimes(1);
  });

  it('reports an abort listener or an iterator that throws', async () => {
    const report = dispose(
      {
        controller: {
          signal: {},
          abort: () => {
            throw new Error('abort');
          },
        },
      },
      {
        next: jest.fn<() => Promise<IteratorResult<unknown>>>(),
        return: () => Promise.reject(new Error('return')),
      },
    );
    await turns(1);
    expect(report.mock.calls).toEqual([[new Error('abort')], [new Error('return')]]);
  });
});
