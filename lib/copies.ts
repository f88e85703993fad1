import { SseSessionError } from './errors.js';

/*
 * An application that loads the ESM build here and the CommonJS build there has two of every class. Nest then reports that it
 * "can't resolve" a SessionManager that is plainly provided. The loaded builds are therefore counted in a place that they share, and
 * the first use of the library tells the real cause.
 */
const REGISTRY = Symbol.for('nestjs-sse-session.copies');
/** Where this file was loaded from: `import.meta` and `__filename` each exist in one of the two builds only, a stack in both. */
const here = /\(?(\S+?)(?::\d+){0,2}\)?$/.exec(new Error().stack?.split('\n')[1] ?? '')?.[1] ?? 'an unknown place';

const shared = globalThis as { [REGISTRY]?: Set<string> };
const copies = (shared[REGISTRY] ??= new Set<string>());
copies.add(here);

/** @throws SseSessionError `DUPLICATE_LIBRARY` when a second copy of this library is loaded in the process. */
export function assertSingleCopy(): void {
  if (copies.size < 2) return;
  throw new SseSessionError(
    'DUPLICATE_LIBRARY',
    `nestjs-sse-session is loaded ${copies.size} times in this process: ${[...copies].join(' and ')}. Each copy has classes of its own, ` +
      'so that injection fails. Load it everywhere in the same way (all import, or all require), and make sure that one version is installed (npm ls nestjs-sse-session).',
  );
}
