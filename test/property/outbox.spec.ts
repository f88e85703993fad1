import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MAX_WRITE_BYTES, type Slice } from '../../lib/connection/backlog.js';
import { Outbox } from '../../lib/connection/outbox.js';
import { EncodedEvent } from '../../lib/event/encode.js';
import type { OverflowPolicy } from '../../lib/options/options.js';

const MAX_BYTES = 150_000;

/** An event that can be told from all others, of about so many bytes. */
function event(index: number, type: string, size: number): EncodedEvent {
  return new EncodedEvent(`<${type}${index}>${'x'.repeat(size)}`, type, true);
}

type Step = { push: { type: string; size: number } } | 'take';

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ push: fc.record({ type: fc.constantFrom('a', 'b', 'c'), size: fc.oneof(fc.nat(40_000), fc.nat(200_000)) }) }),
    },
    { weight: 2, arbitrary: fc.constant('take' as const) },
  ),
  { maxLength: 30 },
);

interface Run {
  written: string;
  taken: number;
  accepted: EncodedEvent[];
  refused: number;
  dropped: number;
}

function run(overflow: OverflowPolicy, script: Step[], check: (outbox: Outbox, last: EncodedEvent | undefined) => void): Run {
  const outbox = new Outbox(MAX_BYTES, overflow);
  const result: Run = { written: '', taken: 0, accepted: [], refused: 0, dropped: 0 };
  const take = (): Slice | undefined => {
    const before = outbox.bytes;
    const slice = outbox.take();
    if (!slice) {
      expect(before).toBe(0);
      return undefined;
    }
    expect(slice.byteLength).toBeLessThanOrEqual(MAX_WRITE_BYTES);
    expect(slice.byteLength).toBeGreaterThan(0);
    expect(outbox.bytes).toBe(before - slice.byteLength);
    result.written += slice.chunk.toString();
    result.taken += slice.events;
    return slice;
  };
  let last: EncodedEvent | undefined;
  script.forEach((step, index) => {
    if (step === 'take') {
      take();
    } else {
      const pushed = event(index, step.push.type, step.push.size);
      const outcome = outbox.push(pushed);
      if (typeof outcome === 'number') {
        result.accepted.push(pushed);
        result.dropped += outcome;
        last = pushed;
      } else {
        result.refused++;
        expect(outcome).toBe(overflow === 'close' ? 'overflow' : 'dropped');
        expect(overflow).not.toBe('latest');
      }
    }
    check(outbox, last);
  });
  while (take());
  expect(outbox.isEmpty).toBe(true);
  return result;
}

function labels(text: string): string[] {
  return text.match(/<[a-c]\d+>/g) ?? [];
}

describe.each(['close', 'drop-oldest', 'latest'] as const)("an outbox with overflow '%s'", (overflow) => {
  it('writes whole events, each once, and counts every one: written, dropped or refused', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const { written, taken, accepted, dropped } = run(overflow, script, () => undefined);
        const left = labels(written);
        expect(new Set(left).size).toBe(left.length);
        expect(taken).toBe(left.length);
        expect(accepted.length).toBe(left.length + dropped);
        // nothing between the events, nothing of them missing
        const byLabel = new Map(accepted.map((each) => [labels(each.text)[0] as string, each.text]));
        expect(written).toBe(left.map((label) => byLabel.get(label)).join(''));
      }),
      { numRuns: 100 },
    );
  });

  it('writes them in the order in which they came', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const order = labels(run(overflow, script, () => undefined).written).map((label) => Number(/\d+/.exec(label)?.[0]));
        expect(order).toEqual([...order].sort((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

  it('always writes the last event that it took', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const { written, accepted } = run(overflow, script, () => undefined);
        const last = accepted.at(-1);
        if (last) expect(written.endsWith(last.text)).toBe(true);
      }),
    );
  });
});

describe('an outbox', () => {
  it.each(['close', 'drop-oldest'] as const)('holds no more than maxBytes, but for one event that is larger (%s)', (overflow) => {
    fc.assert(
      fc.property(steps, (script) => {
        run(overflow, script, (outbox, last) => expect(outbox.bytes).toBeLessThanOrEqual(Math.max(MAX_BYTES, last?.byteLength ?? 0)));
      }),
      { numRuns: 100 },
    );
  });

  it("holds no more than maxBytes with 'latest', but for the newest event and what has begun to leave", () => {
    fc.assert(
      fc.property(steps, (script) => {
        let largest = 0;
        run('latest', script, (outbox, last) => {
          largest = Math.max(largest, last?.byteLength ?? 0);
          expect(outbox.bytes).toBeLessThanOrEqual(Math.max(MAX_BYTES, Math.max(0, largest - MAX_WRITE_BYTES) + (last?.byteLength ?? 0)));
        });
      }),
      { numRuns: 100 },
    );
  });

  it("drops nothing with 'close'", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const { accepted, written, dropped } = run('close', script, () => undefined);
        expect(dropped).toBe(0);
        expect(written).toBe(accepted.map(({ text }) => text).join(''));
      }),
    );
  });

  it("has, with 'latest', the newest of each type that overflowed while nothing was taken", () => {
    const pushes = fc.array(fc.record({ type: fc.constantFrom('a', 'b', 'c'), size: fc.integer({ min: 30_000, max: 45_000 }) }), {
      minLength: 6,
      maxLength: 30,
    });
    fc.assert(
      fc.property(pushes, (script) => {
        const { written } = run(
          'latest',
          script.map((push) => ({ push })),
          () => undefined,
        );
        const newest = new Map(script.map(({ type }, index) => [type, index]));
        const expected = [...newest].sort(([, a], [, b]) => a - b).map(([type, index]) => `<${type}${index}>`);
        expect(labels(written)).toEqual(expected);
      }),
    );
  });
});
