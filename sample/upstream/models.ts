/** What can be made to go wrong upstream. */
export type Fault = 'none' | 'slow-start' | 'midway' | 'rate-limit';

/** The embedded server's models, each with what goes wrong with it. */
export const MODELS: ReadonlyMap<string, Fault> = new Map([
  ['alice', 'none'],
  ['alice-thinks-first', 'slow-start'],
  ['alice-fails-midway', 'midway'],
  ['alice-rate-limited', 'rate-limit'],
]);

export function modelWith(fault: Fault): string {
  for (const [model, itsFault] of MODELS) if (itsFault === fault) return model;
  throw new RangeError(`No model has the fault ${fault}`);
}

export function isFault(value: unknown): value is Fault {
  return [...MODELS.values()].some((fault) => fault === value);
}
