import {
  type Channel,
  type ChannelStream,
  type ChannelStreamOptions,
  type CloseReason,
  type SendResult,
  type SessionFilter,
  type SessionManager,
  type SseEvent,
  type SseSession,
  SseSessionError,
  type SseSessionErrorCode,
  type SseSource,
  sseEvent,
} from 'nestjs-sse-session';
import { type EventFields, FakeClock, collect, createTestSession, fakeRandom } from 'nestjs-sse-session/testing';
import { of } from 'rxjs';

/* Sessions, events, filters and the testing entry. */

declare const session: SseSession<{ tokens: number }>;
declare const manager: SessionManager;

// --- events -------------------------------------------------------------------------------------------------------------------------

export const event: SseEvent = sseEvent({ data: { a: 1 }, type: 't', id: 1, retry: 5, comment: 'c' });
export const fields: string | undefined = event.data;
sseEvent({});
sseEvent({ data: null, type: undefined, id: '' });

// @ts-expect-error TS2540 an event is immutable
event.data = 'b';
// @ts-expect-error TS2540 in all its fields
event.id = '2';
// @ts-expect-error TS2353 the name of an event is its type
sseEvent({ data: 1, event: 'x' });
// @ts-expect-error TS2322 an id is text or a number
sseEvent({ data: 1, id: { a: 1 } });
// @ts-expect-error TS2322 a retry is a number of milliseconds
sseEvent({ data: 1, retry: '5s' });
// @ts-expect-error TS2559 data alone is no event
sseEvent('text');
// @ts-expect-error TS2741 an event is made by sseEvent() alone
export const handMade: SseEvent = { data: 'a' };

// --- sessions -----------------------------------------------------------------------------------------------------------------------

export const results: SendResult[] = [
  session.send('a'),
  session.send(event),
  session.send({ data: 1, type: 't' }),
  session.send({ id: 'chunk', choices: [] }),
  session.send(null),
  session.send(5),
  session.send([1]),
  session.comment('c'),
];
session.data.tokens = (session.data.tokens ?? 0) + 1;
export const reason: CloseReason | undefined = session.closeReason;
session.onCompletion((completed, why) => console.log(completed.id, why));
session.onOpen(async () => undefined);
/** One with a type for its data is one without. */
export const plain: SseSession = session;

// @ts-expect-error TS2345 undefined is refused
session.send(undefined);
// @ts-expect-error TS2345 a comment is text
session.comment(5);
// @ts-expect-error TS2339 data is as it was declared
session.data.words = 5;
// @ts-expect-error TS2322 in its types too
session.data.tokens = 'five';
// @ts-expect-error TS2540 its end is not set but asked for
session.closeReason = 'complete';
// @ts-expect-error TS2345 a callback is a function
session.onOpen('open');
// @ts-expect-error TS2345 it gets no third argument
session.onCompletion((completed, why, extra: number) => console.log(completed, why, extra));
// @ts-expect-error TS2367 there is no such state
export const isOpened = session.state === 'opened';

// --- the manager --------------------------------------------------------------------------------------------------------------------

export const found: SseSession[] = manager.find({ principal: 'ann', state: 'open' });
export const taken: number = manager.broadcast({ data: 1 }, { route: 'GET /a' });
export const cancelled: Promise<boolean> = manager.cancel('id');
for (const each of manager) console.log(each.id);
manager.events$.subscribe(({ type, reason: why }) => console.log(type === 'completion' ? why : type));

declare const user: { id: string } | undefined;
// @ts-expect-error TS2379 undefined must never mean everybody
void manager.cancelAll({ principal: user?.id });
// @ts-expect-error TS2353 there is no such key
export const unknownKey: SessionFilter = { user: 'ann' };
// @ts-expect-error TS2820 there is no such state
export const unknownState: SessionFilter = { state: 'opened' };
// @ts-expect-error TS2559 a filter is an object
manager.find('ann');
// @ts-expect-error TS2554 and there is one
manager.find();
// @ts-expect-error TS2345 an event that is none
manager.broadcast(undefined);
// @ts-expect-error TS2540 stats are a picture
manager.stats().opened = 5;

// --- channels -----------------------------------------------------------------------------------------------------------------------

interface Price {
  symbol: string;
  cents: number;
}
const prices: Channel<Price> = manager.channel<Price>('prices');
export const id: Promise<string> = prices.publish({ symbol: 'A', cents: 5 });
void prices.publish({ data: { symbol: 'A', cents: 5 }, type: 'price' });
void prices.publish(sseEvent({ data: 'whole' }));
void manager.channel('anything').publish(5);
declare const lastEventId: string | undefined;
const options: ChannelStreamOptions = { after: lastEventId, replay: 1 };
export const stream: ChannelStream = prices.stream(options);
/** What a handler returns, and what can be piped. */
export const source: SseSource = manager.stream(['prices', 'news'], { after: lastEventId });
stream.subscribe((received: SseEvent) => console.log(received.id));
/** A test may put anything that emits events in its place. */
export const fake: Channel<Price> = {
  name: 'prices',
  size: 0,
  publish: async () => 'id',
  stream: () => of(event),
  position: async () => 'id',
};

// @ts-expect-error TS2345 a channel of prices takes no text
void prices.publish('text');
// @ts-expect-error TS2353 the option is called after
prices.stream({ from: 'a:1' });
// @ts-expect-error TS2345 several names are an array
manager.stream('prices');
// @ts-expect-error TS2540 who reads it is not set
prices.size = 5;

// --- errors -------------------------------------------------------------------------------------------------------------------------

export const error = new SseSessionError('INVALID_EVENT', 'No.');
export const code: SseSessionErrorCode = error.code;
// @ts-expect-error TS2367 there is no such code
export const isUnknown = error.code === 'UNKNOWN';

// --- testing ------------------------------------------------------------------------------------------------------------------------

export const clock = new FakeClock();
export const test = createTestSession({ clock, principal: 'ann', options: { timeoutMs: 5 } });
export const asSession: SseSession = test;
export const events: Promise<EventFields[]> = collect(Promise.resolve(undefined), { take: 1, signal: session.signal });
export const random: () => number = fakeRandom(0, 0.5);

// @ts-expect-error TS2353 hooks are a route's
createTestSession({ options: { onOpen: () => undefined } });
// @ts-expect-error TS2345 text is no source
void collect('text');
// @ts-expect-error TS2345 numbers
fakeRandom('0.5');
