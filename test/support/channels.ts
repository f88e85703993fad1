import type { ChannelEvent } from '../../lib/channel/channel-event.js';
import { Channels } from '../../lib/channel/channels.js';
import type { ChannelStream } from '../../lib/channel/channel.js';
import type { SseEvent } from '../../lib/event/sse-event.js';
import type { EventLog, LogLimits } from '../../lib/log/event-log.js';
import { MemoryLog } from '../../lib/log/memory-log.js';
import { openSource } from '../../lib/source/source.js';
import { FakeClock } from '../../lib/testing/fake-clock.js';
import { turns } from './memory-session.js';
import { SlowLog } from './slow-log.js';

export const EPOCH = 'epoch-01';

type MakeChannelLog = (epoch: string, limits: LogLimits, now: () => number) => EventLog<ChannelEvent>;

/** Every engine that the channels have to work on. */
export const ENGINES: [name: string, makeLog: MakeChannelLog][] = [
  ['in memory', (...args) => new MemoryLog(...args)],
  ['that needs time', (...args) => new SlowLog(...args)],
  ['that needs time, and tells late', (...args) => new SlowLog(...args, true)],
];

export function createChannels(makeLog: MakeChannelLog, limits: Partial<LogLimits> = {}, epoch = EPOCH) {
  const clock = new FakeClock();
  const log = makeLog(epoch, { maxBytes: 1_000_000, maxAgeMs: 60_000, ...limits }, () => clock.now());
  return { channels: new Channels(log), log, clock };
}

/** Long enough for whatever an engine that needs time has to answer. */
export const settle = (): Promise<void> => turns(60);

/** Reads a stream as a session does: at its own pace. */
export class ChannelClient {
  readonly events: SseEvent[] = [];
  error: unknown;
  #resume: (() => void)[] = [];
  #isPaused: boolean;
  readonly #subscription;

  constructor(
    stream: ChannelStream,
    { isPaused = false, onEvent }: { isPaused?: boolean; onEvent?: (event: SseEvent, client: ChannelClient) => void } = {},
  ) {
    this.#isPaused = isPaused;
    const nothing = () => undefined;
    const owner = { ready: () => this.#ready(), onWork: nothing, onWorkDone: nothing, onOver: nothing, onDisposeError: nothing };
    this.#subscription = openSource(stream, owner).values.subscribe({
      next: (event) => {
        this.events.push(event as SseEvent);
        onEvent?.(event as SseEvent, this);
      },
      error: (error: unknown) => (this.error = error),
    });
  }

  /** The data of its events; a reset as `reset <reason>`. */
  get data(): string[] {
    return this.events.map(({ type, data }) =>
      type === 'reset' ? `reset ${(JSON.parse(String(data)) as { reason: string }).reason}` : String(data),
    );
  }

  /** The offsets of its events. */
  get offsets(): number[] {
    return this.events.map(({ id }) => Number(String(id).split(':')[1]));
  }

  get lastEventId(): string | undefined {
    return this.events.at(-1)?.id;
  }

  pause(): this {
    this.#isPaused = true;
    return this;
  }

  resume(): this {
    this.#isPaused = false;
    for (const resume of this.#resume.splice(0)) resume();
    return this;
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }

  #ready(): Promise<void> | undefined {
    return this.#isPaused ? new Promise((resolve) => this.#resume.push(resolve)) : undefined;
  }
}
