import type { Observable } from 'rxjs';

/**
 * What a managed handler returns: an Observable, an async iterable (an async generator, a Node `Readable`, the stream of an LLM SDK), a
 * web `ReadableStream`, or nothing, in which case the session stays open for `session.send()`.
 */
export type SseSource = Observable<unknown> | AsyncIterable<unknown> | ReadableStream<unknown> | void;
