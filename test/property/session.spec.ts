import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Observable, Subject } from 'rxjs';
import type { OverflowPolicy } from '../../lib/options/options.js';
import type { ManagedSession } from '../../lib/session/managed-session.js';
import type { CloseReason } from '../../lib/options/close-reasons.js';
import { type SessionState, canGo, hooksOf } from '../../lib/session/state.js';
import { MemoryResponse } from '../../lib/testing/memory-response.js';
import { MemoryApp, handle, turns } from '../support/memory-session.js';

const TIMEOUT_MS = 60_000;
const IDLE_MS = 20_000;

/** What can happen to a session, in any order and at any time. */
type Command =
  | { send: number }
  | { next: number }
  | { advance: number }
  | 'comment'
  | 'send nothing'
  | 'handler returns'
  | 'source error'
  | 'source complete'
  | 'complete'
  | 'close'
  | 'shutdown'
  | 'cut'
  | 'abandon'
  | 'disconnect'
  | 'pause'
  | 'resume'
  | 'flush'
  | 'cleanup'
  | 'turn';

const size = fc.oneof(fc.nat(100), fc.nat(3_000), fc.nat(100_000));
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ send: size }) },
  { weight: 4, arbitrary: fc.record({ next: size }) },
  { weight: 4, arbitrary: fc.record({ advance: fc.oneof(fc.nat(100), fc.nat(30_000)) }) },
  { weight: 8, arbitrary: fc.constantFrom<Command>('turn', 'handler returns', 'pause', 'resume', 'comment') },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Command>(
      'send nothing',
      'source error',
      'source complete',
      'complete',
      'close',
      'shutdown',
      'cut',
      'abandon',
      'disconnect',
      'flush',
      'cleanup',
    ),
  },
);

const description = fc.record({
  commands: fc.array(command, { maxLength: 40 }),
  openOn: fc.constantFrom('handler' as const, 'first-event' as const),
  overflow: fc.constantFrom<OverflowPolicy>('close', 'drop-oldest', 'latest'),
  /** What the hooks do on their way. */
  reentrant: fc.constantFrom('nothing', 'send', 'complete', 'close', 'disconnect'),
  highWaterMark: fc.constantFrom(1, 16_384),
});

/** Notes what is written after the end, which Node would refuse. */
class WatchedResponse extends MemoryResponse {
  late = 0;

  override write(chunk: string | Buffer): boolean {
    if (this.isEnded || this.isDestroyed || !this.isOpen) this.late++;
    return super.write(chunk);
  }
}

/** The model: which reasons an end may have after a command, given the state before it. */
function mayEndAs(step: Command, state: SessionState): CloseReason[] {
  if (typeof step !== 'string') {
    if ('advance' in step) return ['timeout', 'idle-timeout', 'slow-client'];
    return ['slow-client'];
  }
  switch (step) {
    case 'source error':
    case 'abandon':
      return ['error'];
    case 'source complete':
    case 'complete':
      return ['complete'];
    case 'close':
      return ['cancelled'];
    case 'shutdown':
    case 'cut':
      return ['shutdown'];
    case 'disconnect':
      return ['client-disconnect'];
    case 'cleanup':
      return ['timeout', 'idle-timeout', 'slow-client'];
    default:
      return state === 'connecting' ? ['slow-client'] : [];
  }
}

interface World {
  readonly app: MemoryApp;
  readonly session: ManagedSession;
  readonly response: WatchedResponse;
  readonly source: Subject<unknown>;
  sent: number;
  isHandled: boolean;
}

function perform(step: Command, world: World): void | Promise<void> {
  const { app, session, response, source } = world;
  if (typeof step !== 'string') {
    if ('send' in step) return void session.send(`<${world.sent++}>${'x'.repeat(step.send)}`);
    if ('next' in step) return source.observed ? source.next(`<${world.sent++}>${'x'.repeat(step.next)}`) : undefined;
    return app.clock.advance(step.advance);
  }
  switch (step) {
    case 'comment':
      return void session.comment('c');
    case 'send nothing':
      return void (session.state === 'closed' || session.state === 'closing'
        ? expect(session.send(undefined)).toBe('closed')
        : expect(() => session.send(undefined)).toThrow());
    case 'handler returns':
      if (world.isHandled) return;
      world.isHandled = true;
      return handle(session, new Observable((subscriber) => source.subscribe(subscriber)));
    case 'source error':
      return source.observed ? source.error(new Error('source')) : undefined;
    case 'source complete':
      return source.observed ? source.complete() : undefined;
    case 'complete':
      return session.complete();
    case 'close':
      return session.close();
    case 'shutdown':
      return void session.end('shutdown');
    case 'cut':
      return session.cut('shutdown');
    case 'abandon':
      return session.abandon();
    case 'disconnect':
      return response.disconnect();
    case 'pause':
      return response.pause();
    case 'resume':
      return response.isGone ? undefined : response.resume();
    case 'flush':
      return void session.flushed().catch((error: unknown) => expect(error).toMatchObject({ code: 'SESSION_CLOSED' }));
    case 'cleanup':
      return session.check(app.clock.now());
    case 'turn':
      return turns(2);
  }
}

it('whatever happens to a session, in whatever order: it ends once, in order, and leaves nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(description, async ({ commands, openOn, overflow, reentrant, highWaterMark }) => {
      const app = new MemoryApp({ retryMs: false, heartbeat: { intervalMs: 7_000, comment: 'beat' } });
      const response = new WatchedResponse(highWaterMark);
      const { session, log } = app.connect({
        response,
        options: {
          openOn,
          timeoutMs: TIMEOUT_MS,
          idleTimeoutMs: IDLE_MS,
          buffer: { maxBytes: 4_000, overflow, stallTimeoutMs: 5_000 },
          endEvent: { type: 'end' },
        },
      });
      const act = (): void => {
        if (reentrant === 'send') session.send('from a hook');
        if (reentrant === 'complete') session.complete();
        if (reentrant === 'close') session.close();
        if (reentrant === 'disconnect') response.disconnect();
      };
      session.onOpen(act);
      session.onTimeout(act);
      session.onError(act);
      session.onCompletion(act);
      const alarmsAtCompletion: number[] = [];
      session.onCompletion(() => alarmsAtCompletion.push(app.registry.wheel.size));
      const { signal } = session;
      const world: World = { app, session, response, source: new Subject(), sent: 0, isHandled: false };

      const allowed = new Set<CloseReason>();
      if (reentrant === 'complete') allowed.add('complete');
      if (reentrant === 'close') allowed.add('cancelled');
      if (reentrant === 'disconnect') allowed.add('client-disconnect');
      let state: SessionState = session.state;
      let reason = session.closeReason;
      const observe = (): void => {
        if (session.state !== state) {
          // what happens within one command may be several steps
          const isStep = canGo(state, session.state) || (state === 'connecting' && session.state === 'closing');
          expect({ from: state, to: session.state, isStep }).toMatchObject({ isStep: true });
          state = session.state;
        }
        if (session.closeReason !== reason) {
          // the first reason stands, but for complete
          expect([undefined, 'complete']).toContain(reason);
          reason = session.closeReason;
        }
        expect(signal.aborted).toBe(state === 'closing' || state === 'closed');
        expect(session.connections).toBe(state === 'closed' ? 0 : 1);
        expect(app.registry.get(session.id) === session).toBe(state !== 'closed');
      };
      for (const step of commands) {
        for (const may of mayEndAs(step, session.state)) allowed.add(may);
        await perform(step, world);
        observe();
      }

      // the end of the world: everything has its deadline
      app.clock.advance(TIMEOUT_MS + 50);
      await turns();
      app.clock.advance(5_050);
      await turns();
      for (const may of ['timeout', 'idle-timeout', 'slow-client'] as const) allowed.add(may);
      if (allowed.has('complete')) allowed.add('client-disconnect');

      expect(session.state).toBe('closed');
      const ended = session.closeReason as CloseReason;
      expect([...allowed]).toContain(ended);
      const hooks = log.map((entry) => entry.split(' ')[0]);
      const opening = session.openedAt === undefined ? [] : ['settled', 'open'];
      expect(hooks).toEqual([...opening, ...hooksOf(ended), ...(opening.length > 0 ? [] : ['settled'])]);
      expect(log).toContain(`completion ${ended}`);
      expect(app.events.filter((event) => event.startsWith('completion'))).toEqual([`completion ${ended}`]);
      expect(app.registry.totals.endedByReason[ended]).toBe(1);

      expect(app.registry.size).toBe(0);
      expect(alarmsAtCompletion).toEqual([0]);
      expect(app.registry.wheel.size).toBe(0);
      expect(app.clock.pending).toBe(0);
      expect(world.source.observed).toBe(false);
      expect(session.pendingBytes).toBe(0);
      expect(response.late).toBe(0);

      const order = [...response.received.matchAll(/data: <(\d+)>/g)].map(([, index]) => Number(index));
      expect(order).toEqual([...order].sort((a, b) => a - b));
      expect(new Set(order).size).toBe(order.length);
      if (ended === 'complete' && session.eventsDropped === 0) {
        expect(response.received.endsWith('event: end\ndata: {"reason":"complete"}\n\n')).toBe(true);
      }

      // and nothing of it wakes again
      const { writes } = response;
      const before = [...log];
      session.send('late');
      session.complete();
      response.disconnect();
      app.clock.advance(TIMEOUT_MS);
      await turns(2);
      expect(response.writes).toBe(writes);
      expect(log).toEqual(before);
    }),
    // more of them in npm run test:faults
    { numRuns: Number(process.env.FC_RUNS ?? 300) },
  );
});
