import { Readable } from 'node:stream';
import { describe, expect, it, jest } from '@jest/globals';
import { Observable, Subject, of } from 'rxjs';
import { type SourceOwner, openSource } from '../../../lib/source/source.js';
import type { SseSource } from '../../../lib/source/sse-source.js';
import { turns } from '../../support/memory-session.js';

const nothing = () => undefined;
const OPEN_GATE: SourceOwner = { ready: nothing, onWork: nothing, onWorkDone: nothing, onDisposeError: nothing, onOver: nothing };

/** Reads a source; `log` has what came of it. */
function read(source: SseSource, owner: Partial<SourceOwner> = {}) {
  const log: unknown[] = [];
  const opened = openSource(source, { ...OPEN_GATE, ...owner, onDisposeError: (error) => log.push(['reported', error]) });
  const subscription = opened.values.subscribe({
    next: (value) => log.push(value),
    error: (error: unknown) => log.push(['error', error]),
    complete: () => log.push('complete'),
  });
  return { log, opened, subscription };
}

async function* generate(...values: unknown[]) {
  for (const value of values) yield value;
}

/** An iterator whose every `next()` waits to be answered. */
function manualSource() {
  const pending: PromiseWithResolvers<IteratorResult<unknown>>[] = [];
  const iterator = {
    next: jest.fn(() => {
      const answer = withResolvers<IteratorResult<unknown>>();
      pending.push(answer);
      return answer.promise;
    }),
    return: jest.fn(() => Promise.resolve({ done: true as const, value: undefined })),
  };
  return { source: { [Symbol.asyncIterator]: () => iterator }, iterator, pending };
}

interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  const answer = {} as PromiseWithResolvers<T>;
  answer.promise = new Promise((resolve, reject) => Object.assign(answer, { resolve, reject }));
  return answer;
}

describe('openSource', () => {
  it.each<[string, () => SseSource]>([
    ['an Observable', () => of(1, 2)],
    ['an async generator', () => generate(1, 2)],
    ['an async iterable', () => ({ [Symbol.asyncIterator]: () => generate(1, 2) })],
    ['a Readable', () => Readable.from([1, 2])],
    [
      'a ReadableStream',
      () =>
        new ReadableStream({
          start: (c) => {
            c.enqueue(1);
            c.enqueue(2);
            c.close();
          },
        }),
    ],
  ])('reads %s to its end', async (_, create) => {
    const { log } = read(create());
    await turns();
    expect(log).toEqual([1, 2, 'complete']);
  });

  it('takes nothing for a source that never emits', async () => {
    const { log, subscription, opened } = read(undefined);
    await turns();
    expect(log).toEqual([]);
    subscription.unsubscribe();
    opened.dispose();
  });

  it.each([
    ['a string', 'text'],
    ['a number', 5],
    ['null', null],
    ['an array', [1]],
    ['a plain object', { data: 1 }],
    ['a function', () => 1],
    ['an iterable that is not async', new Set([1])],
    ['a promise', Promise.resolve()],
  ])('refuses %s as INVALID_SOURCE', (_, value) => {
    expect(() => openSource(value as never, OPEN_GATE)).toThrow(expect.objectContaining({ code: 'INVALID_SOURCE' }));
  });

  it('says what it got and what it expects', () => {
    expect(() => openSource([1] as never, OPEN_GATE)).toThrow(
      'A managed SSE handler returned an array; expected an Observable, an async iterable, a ReadableStream, a promise of one, or nothing.',
    );
  });

  it.each<[string, (error: Error) => SseSource]>([
    ['an Observable', (error) => new Observable((subscriber) => subscriber.error(error))],
    [
      'an async generator',
      async function* (error) {
        throw error;
        yield 1;
      },
    ],
    [
      'a Readable',
      (error) =>
        new Readable({
          read() {
            this.destroy(error);
          },
        }),
    ],
    ['a ReadableStream', (error) => new ReadableStream({ pull: (c) => c.error(error) })],
    [
      'an iterable whose iterator cannot be made',
      (error) => ({
        [Symbol.asyncIterator]: () => {
          throw error;
        },
      }),
    ],
    [
      'an iterator whose next throws',
      (error) => ({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            throw error;
          },
        }),
      }),
    ],
  ])('passes on the error of %s', async (_, create) => {
    const error = new Error('upstream');
    const { log } = read(create(error));
    await turns();
    expect(log).toEqual([['error', error]]);
  });

  it('is let go of when it fails, as an SDK keeps its upstream open', async () => {
    const controller = new AbortController();
    const source = Object.assign({ controller }, { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('x')) }) });
    read(source);
    await turns();
    expect(controller.signal.aborted).toBe(true);
  });

  it('is not let go of twice: neither after its own end nor by a second dispose', async () => {
    const destroy = jest.fn();
    const source = Object.assign(generate(1), { destroy });
    const { opened, subscription } = read(source);
    await turns();
    subscription.unsubscribe();
    opened.dispose();
    expect(destroy).not.toHaveBeenCalled();

    const endless = Object.assign(generate(1, 2), { destroy });
    const second = openSource(endless, OPEN_GATE);
    second.dispose();
    second.dispose();
    expect(destroy).toHaveBeenCalledTimes(1);
  });

  it('asks for one value at a time', async () => {
    const { source, iterator, pending } = manualSource();
    const { log } = read(source);
    await turns();
    expect(iterator.next).toHaveBeenCalledTimes(1);
    pending[0]?.resolve({ done: false, value: 1 });
    await turns();
    expect(iterator.next).toHaveBeenCalledTimes(2);
    expect(log).toEqual([1]);
  });

  it('is returned, not awaited, when it is unsubscribed while a next is pending; what comes late is not emitted', async () => {
    const { source, iterator, pending } = manualSource();
    const { log, subscription } = read(source);
    await turns();
    subscription.unsubscribe();
    expect(iterator.return).toHaveBeenCalledTimes(1);
    pending[0]?.resolve({ done: false, value: 'late' });
    await turns();
    expect(log).toEqual([]);
    expect(iterator.next).toHaveBeenCalledTimes(1);
  });

  it('is not failed by what it throws as it is torn down', async () => {
    const { source, pending } = manualSource();
    const { log, subscription } = read(source);
    await turns();
    subscription.unsubscribe();
    pending[0]?.reject(new DOMException('aborted', 'AbortError'));
    await turns();
    expect(log).toEqual([]);
  });

  it('frees a ReadableStream while a read of it is pending', async () => {
    const cancel = jest.fn<() => void>();
    const stream = new ReadableStream({ cancel });
    const { log, subscription } = read(stream);
    await turns();
    subscription.unsubscribe();
    await turns();
    expect(cancel).toHaveBeenCalledTimes(1);
    expect(log).toEqual([]);
  });

  it('destroys a Readable while a read of it is pending', async () => {
    const readable = new Readable({ read: () => undefined });
    const { log, subscription } = read(readable);
    await turns();
    subscription.unsubscribe();
    await turns();
    expect(readable.destroyed).toBe(true);
    expect(log).toEqual([]);
  });

  it('is let go of unread: no iterator of it is made', () => {
    const iterate = jest.fn();
    const cancel = jest.fn();
    const source = { cancel, [Symbol.asyncIterator]: iterate };
    openSource(source as never, OPEN_GATE).dispose();
    expect(cancel).toHaveBeenCalledTimes(1);
    expect(iterate).not.toHaveBeenCalled();
  });

  it('does not subscribe an Observable that is let go of unread', () => {
    const subscribe = jest.fn();
    openSource(new Observable(subscribe as never), OPEN_GATE).dispose();
    expect(subscribe).not.toHaveBeenCalled();
  });

  it('reports what a source throws when it is let go of', async () => {
    const source = Object.assign(generate(1, 2), {
      destroy: () => {
        throw new Error('stuck');
      },
    });
    const { log, subscription } = read(source, { ready: () => new Promise(() => undefined) });
    await turns();
    subscription.unsubscribe();
    expect(log).toEqual([['reported', new Error('stuck')]]);
  });

  it('is paused while its reader takes no more, and goes on when it does', async () => {
    let takesMore = false;
    let goOn = (): void => undefined;
    const gate: SourceOwner = { ...OPEN_GATE, ready: () => (takesMore ? undefined : new Promise((resolve) => (goOn = resolve))) };
    const pulled: number[] = [];
    const { log } = read(
      (async function* () {
        for (let i = 0; i < 4; i++) {
          pulled.push(i);
          yield i;
        }
      })(),
      gate,
    );
    await turns();
    expect({ pulled, log }).toEqual({ pulled: [], log: [] });
    goOn();
    await turns();
    expect({ pulled, log }).toEqual({ pulled: [0], log: [0] });
    takesMore = true;
    goOn();
    await turns();
    expect(log).toEqual([0, 1, 2, 3, 'complete']);
  });

  it('is let go of while it is paused, and then not asked any more', async () => {
    let goOn = (): void => undefined;
    const { source, iterator } = manualSource();
    const { subscription } = read(source, { ready: () => new Promise((resolve) => (goOn = resolve)) });
    await turns();
    subscription.unsubscribe();
    goOn();
    await turns();
    expect(iterator.next).not.toHaveBeenCalled();
    expect(iterator.return).toHaveBeenCalledTimes(1);
  });

  it('does not pause an Observable, which pushes', () => {
    const subject = new Subject<number>();
    const { log } = read(subject, { ready: () => new Promise(() => undefined) });
    subject.next(1);
    subject.next(2);
    expect(log).toEqual([1, 2]);
  });
});
