import { Readable } from 'node:stream';
import { Controller, Param, Post, RequestMethod } from '@nestjs/common';
import type OpenAI from 'openai';
import { type Observable, of } from 'rxjs';
import { CurrentSession, LastEventId, ManagedSse, type SseSession, type SseSource, sseEvent } from 'nestjs-sse-session';

/* What a managed handler may return, and what it may not. Checked by `npm run typecheck`; nothing here runs. */

declare const openai: OpenAI;

@Controller()
export class Sources {
  @ManagedSse()
  observable(): Observable<unknown> {
    return of(1, 'a', sseEvent({ data: 1 }));
  }

  @ManagedSse('generator/:n')
  async *generator(@Param('n') n: string, @CurrentSession() session: SseSession, @LastEventId() after?: string) {
    yield { n, id: session.id, after };
  }

  @ManagedSse('iterable')
  iterable(): AsyncIterable<string> {
    return this.generator('1', undefined as never) as unknown as AsyncIterable<string>;
  }

  @ManagedSse('readable')
  readable() {
    return Readable.from(['a']);
  }

  @ManagedSse('readable-stream')
  readableStream() {
    return new ReadableStream<Uint8Array>();
  }

  @ManagedSse('upstream')
  async upstream() {
    const { body } = await fetch('http://localhost');
    return body ?? undefined;
  }

  @ManagedSse('nothing')
  nothing(@CurrentSession() session: SseSession): void {
    session.send('a');
  }

  @ManagedSse('later-nothing')
  async laterNothing(): Promise<void> {
    await Promise.resolve();
  }

  @ManagedSse('later', { method: RequestMethod.POST })
  async later() {
    return of(1);
  }

  @ManagedSse('either')
  either(@Param('id') id: string) {
    return id ? of(1) : undefined;
  }

  /** The promise of an LLM SDK's stream, as its README has it. */
  @ManagedSse(':id/stream')
  openai(@CurrentSession() session: SseSession) {
    return openai.chat.completions.create({ model: 'm', messages: [], stream: true }, { signal: session.signal });
  }

  @ManagedSse(['a', 'b'])
  paths(): SseSource {
    return undefined;
  }
}

export class NoSources {
  // @ts-expect-error TS1241 a string is no source
  @ManagedSse()
  text(): string {
    return 'a';
  }

  // @ts-expect-error TS1241 nor is a number
  @ManagedSse()
  number() {
    return 1;
  }

  // @ts-expect-error TS1241 an array is iterable, but not asynchronously
  @ManagedSse()
  array() {
    return [1, 2];
  }

  // @ts-expect-error TS1241 a plain object is one event at most: of(event)
  @ManagedSse()
  object() {
    return { data: 1 };
  }

  // @ts-expect-error TS1241 null is not nothing
  @ManagedSse()
  null() {
    return null;
  }

  // @ts-expect-error TS1241 a generator that is not asynchronous
  @ManagedSse()
  *generator() {
    yield 1;
  }

  // @ts-expect-error TS1241 a promise of what is no source
  @ManagedSse()
  async promise() {
    return { data: 1 };
  }

  // @ts-expect-error TS1241 an LLM call that was not asked to stream
  @ManagedSse()
  openai() {
    return openai.chat.completions.create({ model: 'm', messages: [] });
  }

  // @ts-expect-error TS1241 a function that gives a source
  @ManagedSse()
  function() {
    return () => of(1);
  }

  // @ts-expect-error TS1240 a property is no method
  @ManagedSse()
  property = () => of(1);

  // @ts-expect-error TS2353 the path comes first
  @ManagedSse({ timeoutMs: 5 })
  noPath() {
    return of(1);
  }
}

/** Our decorator goes with Nest's own. */
export class Together {
  @Post('other')
  other() {
    return 'text';
  }
}
