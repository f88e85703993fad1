import { checkName, checkNames, checkStreamOptions } from './channel-arguments.js';
import { ChannelEvent } from './channel-event.js';
import { ChannelHub } from './channel-hub.js';
import { formatId } from './channel-id.js';
import type { ChannelLog } from './channel-log.js';
import { ChannelSource } from './channel-source.js';
import type { Channel, ChannelStream, ChannelStreamOptions } from './channel.js';
import { publishedFields } from './published-fields.js';

/** All channels of an application: their log, and who reads it. */
export class Channels {
  readonly #hub: ChannelHub;

  constructor(private readonly log: ChannelLog) {
    this.#hub = new ChannelHub(log);
  }

  /** @throws SseSessionError `INVALID_CHANNEL` */
  channel<T>(name: string): Channel<T> {
    return new NamedChannel<T>(checkName(name), this.log, this.#hub);
  }

  /** @throws SseSessionError `INVALID_CHANNEL` */
  stream(names: readonly string[], options: ChannelStreamOptions = {}): ChannelStream {
    return new ChannelSource(this.#hub, checkNames(names), checkStreamOptions(options));
  }

  /** What there is now: streams that read, and the events and bytes that the log holds. */
  stats(): { streams: number; events: number; bytes: number } {
    return { streams: this.#hub.size, events: this.log.size, bytes: this.log.bytes };
  }

  /** Trims what is too old, also when nothing is published any more. */
  expire(): void {
    this.log.trim();
  }
}

/** A name and nothing else: a channel takes no memory of its own. */
class NamedChannel<T> implements Channel<T> {
  constructor(
    readonly name: string,
    private readonly log: ChannelLog,
    private readonly hub: ChannelHub,
  ) {}

  get size(): number {
    return this.hub.sizeOf(this.name);
  }

  async publish(event: unknown): Promise<string> {
    return formatId(this.log.epoch, await this.log.append(new ChannelEvent(this.name, publishedFields(event))));
  }

  stream(options: ChannelStreamOptions = {}): ChannelStream {
    return new ChannelSource(this.hub, new Set([this.name]), checkStreamOptions(options));
  }

  async position(): Promise<string> {
    return formatId(this.log.epoch, await this.log.tail());
  }
}
