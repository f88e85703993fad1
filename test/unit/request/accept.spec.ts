import { describe, expect, it } from '@jest/globals';
import { acceptsEventStream, namesEventStream } from '../../../lib/request/accept.js';

const TABLE: [accept: string | undefined, accepts: boolean, names: boolean][] = [
  [undefined, true, false],
  ['', true, false],
  ['*/*', true, false],
  ['text/*', true, false],
  ['text/event-stream', true, true],
  ['TEXT/Event-Stream', true, true],
  ['text/event-stream;q=0.1, application/json', true, true],
  ['text/event-stream; charset=utf-8', true, true],
  ['text/event-stream;v=2', true, true],
  ['text/event-stream;v="2,1";q=0.5', true, true],
  ['text/event-stream;profile;q=0.5', true, true],
  ['text/event-stream;v=2;q=0, */*', false, false],
  ['text/event-stream; q=0', false, false],
  ['text/html, text/event-stream; q=0', false, false],
  ['*/* ; q=0', false, false],
  ['text/event-stream ; q=0.3', true, true],
  ['application/json', false, false],
  ['application/json;q=1, */*;q=0', false, false],
  ['text/html, */*;q=0.8', true, false],
  ['nonsense', false, false],
];

describe('the Accept header', () => {
  it.each(TABLE)('%s', (accept, accepts, names) => {
    const headers = accept === undefined ? {} : { accept };
    expect([acceptsEventStream(headers), namesEventStream(headers)]).toEqual([accepts, names]);
  });
});
