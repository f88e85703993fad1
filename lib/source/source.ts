import { NEVER, Observable, isObservable } from 'rxjs';
import { SseSessionError, show } from '../errors.js';
import { disposeSource, ignoreErrorEvents } from './dispose.js';
import { type Pace, PacedSource } from './paced-source.js';
import type { SseSource } from './sse-source.js';

/** Who reads a source: pull sources and those that are paced are paused for as long as it takes no more. */
export interface SourceOwner extends Pace {
  /** The source does something, a read or its own end, that may outlast the reading. */
  onWork(): void;
  /** It has done that. Comes once for every {@link onWork}, unless the source hangs. */
  onWorkDone(): void;
  /** The source is over: nothing more comes of it, and there is nothing more to let go of. */
  onOver(source: OpenSource): void;
  /** What the source threw as it was let go of. */
  onDisposeError(error: unknown): void;
}

/** A source, whatever its kind, as an Observable that can be let go of at any time, subscribed or not. */
export interface OpenSource {
  readonly values: Observable<unknown>;
  /** Whether there is nothing to let go of (any more). */
  readonly isOver: boolean;
  /** Stops it and frees what it holds, also when it was never subscribed; harmless twice, and after its own end. */
  dispose(): void;
}

/**
 * @throws SseSessionError `INVALID_SOURCE` when a handler returned something that is no source.
 */
export function openSource(value: SseSource, owner: SourceOwner, handler = 'A managed SSE handler'): OpenSource {
  if (value === undefined) return withoutDisposal(NEVER);
  if (value instanceof PacedSource) return withoutDisposal((value as PacedSource<unknown>).at(owner));
  // an Observable frees itself when it is unsubscribed
  if (isObservable(value)) return withoutDisposal(value);
  // by its reader, although Node's is async iterable: the iterator's return() waits for a pending read, the reader's cancel() does not
  if (isReadableStream(value)) return new PullSource(value, () => readerIterator(value), owner);
  if (isAsyncIterable(value)) return new PullSource(value, () => value[Symbol.asyncIterator](), owner);
  throw new SseSessionError(
    'INVALID_SOURCE',
    `${handler} returned ${show(value)}; expected an Observable, an async iterable, a ReadableStream, a promise of one, or nothing.${hintFor(value)}`,
  );
}

function withoutDisposal(values: Observable<unknown>): OpenSource {
  return { values, isOver: true, dispose: () => undefined };
}

function hintFor(value: unknown): string {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value)) return '';
  return ' A generator becomes a source as an async one (async *), an array by from(array) of RxJS.';
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof (value as Partial<AsyncIterable<unknown>> | null)?.[Symbol.asyncIterator] === 'function';
}

function isReadableStream(value: unknown): value is ReadableStream<unknown> {
  return typeof (value as Partial<ReadableStream<unknown>> | null)?.getReader === 'function';
}

function readerIterator(stream: ReadableStream<unknown>): AsyncIterator<unknown> {
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown>>,
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/** A source that never waits would keep the event loop for itself as long as interceptors let nothing through that fills the connection. */
const PULLS_PER_TURN = 1_000;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class PullSource implements OpenSource {
  readonly values: Observable<unknown>;
  #iterator: AsyncIterator<unknown> | undefined;
  isOver = false;

  constructor(
    private readonly source: object,
    private readonly iterate: () => AsyncIterator<unknown>,
    private readonly owner: SourceOwner,
  ) {
    ignoreErrorEvents(source);
    this.values = new Observable((subscriber) => {
      owner.onWork();
      void this.#pull(subscriber).finally(() => owner.onWorkDone());
      return () => this.dispose();
    });
  }

  dispose(): void {
    this.#dispose((error) => this.owner.onDisposeError(error));
  }

  #dispose(report: (error: unknown) => void): void {
    if (this.isOver) return;
    this.#end();
    this.owner.onWork();
    void disposeSource(this.source, this.#iterator, report).finally(() => this.owner.onWorkDone());
  }

  #end(): void {
    this.isOver = true;
    this.owner.onOver(this);
  }

  /** Pulls one value after the other, at the pace of the gate. After the end nothing is emitted, whatever a late `next()` gives. */
  async #pull(subscriber: {
    readonly closed: boolean;
    next(value: unknown): void;
    error(error: unknown): void;
    complete(): void;
  }): Promise<void> {
    try {
      const iterator = (this.#iterator = this.iterate());
      for (let pulls = 1; !this.isOver; pulls++) {
        if (pulls % PULLS_PER_TURN === 0) await nextTurn();
        const pause = this.owner.ready();
        if (pause) await pause;
        if (this.isOver) return;
        const result = await iterator.next();
        if (this.isOver) return;
        if (result.done) {
          this.#end();
          subscriber.complete();
          return;
        }
        subscriber.next(result.value);
      }
    } catch (error) {
      // a source that was stopped fails as it is torn down (an AbortError, mostly): that is its end, not an error
      if (this.isOver) return;
      // a failed ReadableStream answers its cancel() with the same error once more
      this.#dispose((another) => {
        if (another !== error) this.owner.onDisposeError(another);
      });
      subscriber.error(error);
    }
  }
}
