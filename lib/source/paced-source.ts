import { Observable, type Subscriber, type TeardownLogic } from 'rxjs';

/** Whoever sets the pace of a source. */
export interface Pace {
  /** Nothing when more is taken, else a promise that resolves when it is, or never will be. */
  ready(): Promise<void> | undefined;
}

const UNPACED: Pace = { ready: () => undefined };

/**
 * A source that keeps what it has until its reader takes it. Returned by a handler it is read at the pace of the session; to anybody else
 * it is an Observable, which emits as fast as it can.
 */
export abstract class PacedSource<T> extends Observable<T> {
  constructor() {
    super((subscriber) => this.read(subscriber, UNPACED));
  }

  /** The same at the pace of whoever reads it. */
  at(pace: Pace): Observable<T> {
    return new Observable((subscriber) => this.read(subscriber, pace));
  }

  /** Begins a reading of its own, that asks for the pace before each value. Returns what ends it. */
  protected abstract read(subscriber: Subscriber<T>, pace: Pace): TeardownLogic;
}
