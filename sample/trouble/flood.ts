import { sseEvent, type SseEvent } from 'nestjs-sse-session';
import { interval, map, type Observable } from 'rxjs';

const EVENT = sseEvent({ data: 'flood '.repeat(4_000) });
const EVERY_MS = 15;

/** Pushes some 1.5 MB a second, whether anybody reads it or not: the kernel takes the first few, then it waits in the session. */
export const flood = (): Observable<SseEvent> => interval(EVERY_MS).pipe(map(() => EVENT));
