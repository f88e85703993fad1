import type { Observable, Subscription } from 'rxjs';
import { type Gate, type OpenSource, openSource } from '../source/source.js';
import type { SseSource } from '../source/sse-source.js';
import { TextPayloads } from '../source/text-payloads.js';

/** The session that reads a source. */
export interface SourceReader {
  /** Whether it takes more; when not, it calls {@link SourceRun.resume} once it does. */
  readonly takesMore: boolean;
  onValue(value: unknown): void;
  onSourceError(error: unknown): void;
  onSourceComplete(): void;
  /** The source threw or rejected while it was let go of. */
  onDisposalError(error: unknown): void;
}

/** The reading of a session's source: from the moment the handler returned it until it is let go of, read or not. */
export class SourceRun implements Gate {
  #source: OpenSource | undefined;
  #subscription: Subscription | undefined;
  #text: TextPayloads | undefined;
  #resume: (() => void) | undefined;
  #isStopped = false;

  constructor(private readonly reader: SourceReader) {}

  get takesMore(): boolean {
    return this.#isStopped || this.reader.takesMore;
  }

  ready(): Promise<void> {
    return this.#isStopped ? Promise.resolve() : new Promise((resolve) => (this.#resume = resolve));
  }

  /** A paused source may go on. */
  resume(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /**
   * Takes what the handler returned. It is this run's from here on: when that is over already, the source is let go of unread.
   * @throws SseSessionError `INVALID_SOURCE`
   */
  adopt(returned: SseSource): Observable<unknown> {
    const source = openSource(returned, this, (error) => this.reader.onDisposalError(error));
    if (this.#isStopped) source.dispose();
    else this.#source = source;
    return source.values;
  }

  /** Reads the source, or what interceptors have made of it. */
  read(values: Observable<unknown>): void {
    if (this.#isStopped) return;
    const subscription = values.subscribe({
      next: (value) => this.#onValue(value),
      error: (error: unknown) => this.reader.onSourceError(error),
      complete: () => this.#onComplete(),
    });
    this.#subscription = subscription;
    // it may have ended the session while it was subscribed, before there was a subscription to end
    if (this.#isStopped) this.#unsubscribe();
  }

  /** Lets go of the source. */
  stop(): void {
    this.#isStopped = true;
    this.#unsubscribe();
    this.#source?.dispose();
    this.#source = undefined;
    this.resume();
  }

  #onValue(value: unknown): void {
    if (this.#isStopped) return;
    if (!(value instanceof Uint8Array)) return this.reader.onValue(value);
    const text = (this.#text ??= new TextPayloads()).decode(value);
    if (text !== '') this.reader.onValue(text);
  }

  #onComplete(): void {
    const tail = this.#text?.end();
    if (tail && !this.#isStopped) this.reader.onValue(tail);
    this.reader.onSourceComplete();
  }

  #unsubscribe(): void {
    try {
      this.#subscription?.unsubscribe();
    } catch (error) {
      // an UnsubscriptionError: the teardown of a user's Observable threw
      this.reader.onDisposalError(error);
    }
    this.#subscription = undefined;
  }
}
