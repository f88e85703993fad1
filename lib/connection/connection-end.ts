/**
 * How a connection ended: everything was handed to the kernel, the client left, it stalled, more waited for it than may, more waited for all
 * clients together than may and most of it for this one, or it vanished without a word.
 */
export type ConnectionEnd = 'finished' | 'left' | 'stalled' | 'overflowed' | 'crowded-out' | 'dead';
