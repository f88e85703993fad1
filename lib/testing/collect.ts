import { Observable, type Subscription } from 'rxjs';
import type { EventFields } from '../event/encode.js';
import { readFields } from '../event/read-event.js';
import { DEFAULTS } from '../options/defaults.js';
import type { Serializer } from '../options/options.js';
import { type SourceOwner, openSource } from '../source/source.js';
import type { SseSource } from '../source/sse-source.js';
import { TextPayloads } from '../source/text-payloads.js';
import { plain } from './test-session.js';

const nothing = (): undefined => undefined;
const READER: SourceOwner = { ready: nothing, onWork: nothing, onWorkDone: nothing, onDisposeError: nothing };

export interface CollectOptions {
  /** Stops after so many events; for a source that does not end by itself. */
  take?: number;
  /** As the route has it. Default `'event'`. */
  emit?: 'event' | 'payload';
  /** As the route has it. Default: JSON. */
  serializer?: Serializer;
  /** Stops when it is aborted, for example a session's `signal`. */
  signal?: AbortSignal;
}

/**
 * Reads what a managed handler returned, as a session would, and gives its events as a client would have them.
 *
 *     expect(await collect(controller.stream('1', createTestSession()))).toEqual([{ data: 'Hello' }, { data: 'world' }]);
 *
 * Rejects with the source's error, and with the `SseSessionError` of something that is no source or no event. For a handler that returns
 * nothing, look at `session.events` instead: it would never end.
 */
export async function collect(source: SseSource | Promise<SseSource>, options: CollectOptions = {}): Promise<EventFields[]> {
  const { take = Infinity, emit = DEFAULTS.emit, serializer = DEFAULTS.serializer, signal } = options;
  const events: EventFields[] = [];
  const text = new TextPayloads();
  const opened = openSource(await source, READER);
  let subscription: Subscription | undefined;
  let isDone = false;
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        isDone = true;
        subscription?.unsubscribe();
        resolve();
      };
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted) return stop();
      const read = (value: unknown): void => {
        if (isDone) return;
        events.push(plain(readFields(value, { emit, serializer })));
        if (events.length >= take) stop();
      };
      const readText = (decoded: string): void => {
        if (decoded !== '') read(decoded);
      };
      // the subscriber is known before it subscribes, so that an endless source that emits at once can be stopped
      new Observable<unknown>((subscriber) => {
        subscription = subscriber;
        opened.values.subscribe(subscriber);
      }).subscribe({
        next: (value) => {
          try {
            if (value instanceof Uint8Array) readText(text.decode(value));
            else read(value);
          } catch (error) {
            isDone = true;
            // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it was thrown
            reject(error);
          }
        },
        error: reject,
        complete: () => {
          readText(text.end());
          resolve();
        },
      });
    });
  } finally {
    subscription?.unsubscribe();
    opened.dispose();
  }
  return events;
}
