/** What there is news of. Each topic is a channel. */
export const TOPICS = ['news', 'orders'] as const;

export type Topic = (typeof TOPICS)[number];

export function isTopic(value: unknown): value is Topic {
  return TOPICS.some((topic) => topic === value);
}
