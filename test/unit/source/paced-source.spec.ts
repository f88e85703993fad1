import { describe, expect, it } from '@jest/globals';
import { type Subscriber, map } from 'rxjs';
import { type Pace, PacedSource } from '../../../lib/source/paced-source.js';
import { openSource } from '../../../lib/source/source.js';

/** Gives 1, 2, 3 to whoever takes it, and notes who has ended. */
class Counter extends PacedSource<number> {
  ended = 0;

  protected override read(subscriber: Subscriber<number>, pace: Pace): () => void {
    for (let n = 1; n <= 3 && !pace.ready(); n++) subscriber.next(n);
    return () => this.ended++;
  }
}

const nothing = () => undefined;
const owner = (ready: () => Promise<void> | undefined) => ({
  ready,
  onWork: nothing,
  onWorkDone: nothing,
  onOver: nothing,
  onDisposeError: nothing,
});

describe('A paced source', () => {
  it('is read at the pace of the owner that opens it', () => {
    const seen: unknown[] = [];
    const open = openSource(
      new Counter(),
      owner(() => (seen.length < 2 ? undefined : Promise.resolve())),
    );
    open.values.subscribe((value) => seen.push(value));
    expect(seen).toEqual([1, 2]);
  });

  it('gives all that it has to whoever subscribes to it, or pipes it', () => {
    const seen: unknown[] = [];
    new Counter().subscribe((value) => seen.push(value));
    new Counter().pipe(map((value) => value * 10)).subscribe((value) => seen.push(value));
    expect(seen).toEqual([1, 2, 3, 10, 20, 30]);
  });

  it('is over with each reading on its own', () => {
    const source = new Counter();
    const readings = [openSource(source, owner(nothing)).values.subscribe(), source.subscribe()];
    expect(source.ended).toBe(0);
    for (const reading of readings) reading.unsubscribe();
    expect(source.ended).toBe(2);
  });
});
