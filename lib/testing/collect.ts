import { SseSessionError } from '../errors.js';
import type { EventFields } from '../event/encode.js';
import { readFields } from '../event/read-event.js';
import { DEFAULTS } from '../options/defaults.js';
import type { Serializer } from '../options/options.js';
import { SourceRun, type SourceReader } from '../session/source-run.js';
import { Stragglers } from '../session/stragglers.js';
import type { SseSource } from '../source/sse-source.js';
import { plain } from './test-session.js';

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

const NOTHING_TO_COLLECT =
  'collect() got undefined: a handler that returns nothing sends by session.send(). Look at the events of the session that createTestSession() made.';

const QUIET = { error: () => undefined, warn: () => undefined };
const NOBODY = new Stragglers({ afterMs: Infinity, message: () => '' }, QUIET, () => 0);

/**
 * Reads what a managed handler returned, as a session would, and gives its events as a client would have them.
 *
 *     expect(await collect(controller.stream('1', createTestSession()))).toEqual([{ data: 'Hello' }, { data: 'world' }]);
 *
 * Rejects with the source's error, and with the `SseSessionError` of something that is no source or no event. For a handler that returns
 * nothing, look at `session.events` instead: this rejects, as it would never end.
 */
export async function collect(source: SseSource | Promise<SseSource>, options: CollectOptions = {}): Promise<EventFields[]> {
  const collector = new Collector(options);
  const run = new SourceRun(collector, NOBODY, QUIET);
  // at once, as a source that never waits would go on for ever
  collector.onDone = () => run.stop();
  const stop = (): void => collector.onSourceComplete();
  options.signal?.addEventListener('abort', stop);
  try {
    const returned = await source;
    if (returned === undefined) throw new SseSessionError('INVALID_SOURCE', NOTHING_TO_COLLECT);
    const values = run.adopt(returned);
    if (options.signal?.aborted) stop();
    else run.read(values);
    return await collector.done;
  } finally {
    options.signal?.removeEventListener('abort', stop);
    run.stop();
  }
}

class Collector implements SourceReader {
  readonly id = 'of collect()';
  readonly route = 'no route';
  readonly isReady = true;
  readonly done: Promise<EventFields[]>;
  onDone: () => void = () => undefined;
  readonly #events: EventFields[] = [];
  #resolve: (events: EventFields[]) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(private readonly options: CollectOptions) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  tellWhenReady(): void {
    // it always is
  }

  handlerResolved(): void {
    // there is no handler
  }

  onValue(value: unknown): void {
    const { take = Infinity, emit = DEFAULTS.emit, serializer = DEFAULTS.serializer } = this.options;
    if (this.#events.length >= take) return;
    this.#events.push(plain(readFields(value, { emit, serializer })));
    if (this.#events.length >= take) this.onSourceComplete();
  }

  onSourceError(error: unknown): void {
    this.#reject(error);
    this.onDone();
  }

  onSourceComplete(): void {
    this.#resolve(this.#events);
    this.onDone();
  }
}
