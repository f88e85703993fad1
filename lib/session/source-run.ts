import { Observable, type Observer, type Subscription } from 'rxjs';
import { describeError } from '../errors.js';
import { type OpenSource, type SourceOwner, openSource } from '../source/source.js';
import type { SseSource } from '../source/sse-source.js';
import { TextPayloads } from '../source/text-payloads.js';
import type { SessionLogger } from './safe-logger.js';
import type { Straggler, Stragglers } from './stragglers.js';

/** The session that reads a source. */
export interface SourceReader {
  readonly id: string;
  readonly route: string;
  /** Whether it takes more. */
  readonly isReady: boolean;
  /** Asks it to call {@link SourceRun.onReady} once it takes more. */
  tellWhenReady(): void;
  /** The handler has returned this source, and it has been taken. */
  handlerResolved(source: SseSource): void;
  onValue(value: unknown): void;
  onSourceError(error: unknown): void;
  onSourceComplete(): void;
}

/**
 * The reading of a session's source: from the moment the handler returned it until it is let go of, read or not.
 *
 * A producer that does not stop holds this object for as long as it runs, so that this lets go of the session when it is stopped.
 */
export class SourceRun implements SourceOwner, Observer<unknown> {
  /** Absent once it is stopped. */
  #reader: SourceReader | undefined;
  /** Those that are not over: mostly one; an interceptor that runs the handler again makes another. */
  #sources: Set<OpenSource> | undefined;
  #subscription: Subscription | undefined;
  #text: TextPayloads | undefined;
  /** Sources that are paused. */
  #paused: (() => void)[] | undefined;
  #name = '';
  /** What of the producer is under way: its handler, a read, its own end. */
  #working = 0;
  #straggler: Straggler | undefined;

  constructor(
    reader: SourceReader,
    private readonly producers: Stragglers,
    private readonly logger: SessionLogger,
  ) {
    this.#reader = reader;
  }

  ready(): Promise<void> | undefined {
    if (!this.#reader || this.#reader.isReady) return undefined;
    this.#reader.tellWhenReady();
    return new Promise((resolve) => (this.#paused ??= []).push(resolve));
  }

  onWork(): void {
    this.#working++;
    this.#watchProducer();
  }

  onWorkDone(): void {
    if (--this.#working > 0 || !this.#straggler) return;
    this.producers.delete(this.#straggler);
    this.#straggler = undefined;
  }

  onOver(source: OpenSource): void {
    this.#sources?.delete(source);
  }

  onDisposeError(error: unknown): void {
    const name = this.#reader ? nameOf(this.#reader) : this.#name;
    this.logger.warn(`The source of ${name} failed while it was stopped: ${describeError(error)}`);
  }

  /** Paused sources may go on. */
  onReady(): void {
    const paused = this.#paused;
    if (!paused) return;
    this.#paused = undefined;
    for (const resume of paused) resume();
  }

  /**
   * Runs the handler and takes what it returns. One that is still at it after the end is a producer that does not stop; it holds nothing but this.
   * @returns what Nest's interceptors get to see: the values of the source, or nothing when there is none to see them
   */
  async handle(handler: () => SseSource | Promise<SseSource>, isDirect: boolean): Promise<unknown> {
    this.onWork();
    let returned: SseSource;
    try {
      returned = await handler();
    } finally {
      this.onWorkDone();
    }
    const values = this.adopt(returned);
    this.#reader?.handlerResolved(returned);
    if (!isDirect) return values;
    this.read(values);
    return undefined;
  }

  /** Hears of the handler's failure. */
  watch(handled: Observable<unknown>): void {
    handled.subscribe({ error: (error: unknown) => this.#reader?.onSourceError(error) });
  }

  /**
   * Takes what the handler returned. It is this run's from here on: when that is over already, the source is let go of unread.
   * @throws SseSessionError `INVALID_SOURCE`
   */
  adopt(returned: SseSource): Observable<unknown> {
    const source = openSource(returned, this, this.#reader && `The handler of ${this.#reader.route}`);
    if (!this.#reader) source.dispose();
    else if (!source.isOver) (this.#sources ??= new Set()).add(source);
    return source.values;
  }

  /** Reads the source, or what interceptors have made of it. */
  read(values: Observable<unknown>): void {
    if (!this.#reader) return;
    // the subscriber is known before it subscribes, so that a source that emits at once can be stopped while it does
    new Observable<unknown>((subscriber) => {
      this.#subscription = subscriber;
      values.subscribe(subscriber);
    }).subscribe(this);
  }

  next(value: unknown): void {
    try {
      this.#take(value);
    } catch (error) {
      // a value that may not even be looked at
      this.error(error);
    }
  }

  error(error: unknown): void {
    this.#reader?.onSourceError(error);
  }

  complete(): void {
    const tail = this.#text?.end();
    if (tail) this.#reader?.onValue(tail);
    this.#reader?.onSourceComplete();
  }

  /** Lets go of the source, and of the session. */
  stop(): void {
    if (!this.#reader) return;
    this.#name = nameOf(this.#reader);
    this.#reader = undefined;
    try {
      this.#subscription?.unsubscribe();
    } catch (error) {
      // an UnsubscriptionError: the teardown of a user's Observable threw
      this.onDisposeError(error);
    }
    for (const source of [...(this.#sources ?? [])]) source.dispose();
    this.#subscription = undefined;
    this.onReady();
    this.#watchProducer();
  }

  #take(value: unknown): void {
    if (!(value instanceof Uint8Array)) {
      this.#reader?.onValue(value);
      return;
    }
    const text = (this.#text ??= new TextPayloads()).decode(value);
    if (text !== '') this.#reader?.onValue(text);
  }

  /** From the moment it is told to stop, somebody looks whether it does. */
  #watchProducer(): void {
    if (this.#working > 0 && !this.#reader) this.#straggler ??= this.producers.add(this.#name);
  }
}

function nameOf({ id, route }: SourceReader): string {
  return `session ${id} (${route})`;
}
