import { Readable } from 'node:stream';
import { describe, expect, it, jest } from '@jest/globals';
import { NEVER, Observable, concat, interval, of, throwError } from 'rxjs';
import { sseEvent } from '../../../lib/event/sse-event.js';
import { collect, createTestSession } from '../../../lib/testing/index.js';

describe('collect', () => {
  it('gives the events of a source as a client would have them', async () => {
    const source = of('a', { data: { b: 1 }, type: 't', id: 5 }, { id: 'c', choices: [] }, sseEvent({ data: 'd', comment: 'x' }), null);
    await expect(collect(source)).resolves.toEqual([
      { data: 'a' },
      { data: '{"b":1}', type: 't', id: '5' },
      { data: '{"id":"c","choices":[]}' },
      { data: 'd', comment: 'x' },
      { data: 'null' },
    ]);
  });

  it('takes any source, and a promise of one', async () => {
    const generator = async function* () {
      yield 'a';
    };
    await expect(collect(generator())).resolves.toEqual([{ data: 'a' }]);
    await expect(collect(Promise.resolve(generator()))).resolves.toEqual([{ data: 'a' }]);
    await expect(collect(Readable.from(['a']))).resolves.toEqual([{ data: 'a' }]);
  });

  it("reads as the route's emit and serializer say", async () => {
    const serializer = (data: unknown) => `<${JSON.stringify(data)}>`;
    await expect(collect(of({ data: 1 }), { emit: 'payload', serializer })).resolves.toEqual([{ data: '<{"data":1}>' }]);
  });

  it('joins characters that are cut between two chunks of bytes', async () => {
    const bytes = Buffer.from('a€');
    await expect(collect(of(bytes.subarray(0, 2), bytes.subarray(2)))).resolves.toEqual([{ data: 'a' }, { data: '€' }]);
    await expect(collect(of(bytes.subarray(0, 2)))).resolves.toEqual([{ data: 'a' }, { data: '\uFFFD' }]);
  });

  it('stops after so many events, and lets go of the source', async () => {
    const cleaned = jest.fn();
    const endless = async function* () {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        cleaned();
      }
    };
    await expect(collect(endless(), { take: 2 })).resolves.toEqual([{ data: '0' }, { data: '1' }]);
    expect(cleaned).toHaveBeenCalledTimes(1);
    await expect(collect(interval(1), { take: 1 })).resolves.toEqual([{ data: '0' }]);
  });

  it('takes no more than it was told from a source that emits all at once', async () => {
    await expect(collect(of(1, 2, 3), { take: 2 })).resolves.toEqual([{ data: '1' }, { data: '2' }]);
  });

  it('rejects for a handler that returns nothing, and says where to look', async () => {
    await expect(collect(undefined)).rejects.toMatchObject({
      code: 'INVALID_SOURCE',
      message: expect.stringContaining('createTestSession()') as unknown,
    });
  });

  it('stops a source that emits without end and never waits', async () => {
    const endless = new Observable<number>((subscriber) => {
      while (!subscriber.closed) subscriber.next(1);
    });
    expect(await collect(endless, { take: 2 })).toEqual([{ data: '1' }, { data: '1' }]);
  });

  it('stops when its signal is aborted, also when it has been', async () => {
    const session = createTestSession();
    const unsubscribed = jest.fn();
    const collecting = collect(concat(of('a'), new Observable(() => unsubscribed)), { signal: session.signal });
    await Promise.resolve();
    session.close();
    await expect(collecting).resolves.toEqual([{ data: 'a' }]);
    expect(unsubscribed).toHaveBeenCalledTimes(1);
    await expect(collect(NEVER, { signal: session.signal })).resolves.toEqual([]);
  });

  it("rejects with the source's error, and lets go of a source that gave no event", async () => {
    const error = new Error('upstream');
    await expect(collect(throwError(() => error))).rejects.toBe(error);
    const unsubscribed = jest.fn();
    await expect(collect(concat(of(undefined), new Observable(() => unsubscribed)))).rejects.toMatchObject({ code: 'INVALID_EVENT' });
    await expect(collect(of(1n))).rejects.toMatchObject({ code: 'SERIALIZATION_FAILED' });
    await expect(collect('text' as never)).rejects.toMatchObject({ code: 'INVALID_SOURCE' });
  });
});
