import type { SseEvent } from '../event/sse-event.js';
import type { Position } from '../log/event-log.js';
import type { ChannelEvent } from './channel-event.js';
import type { ChannelLog } from './channel-log.js';

/** Whoever reads some topics of the log. */
export interface TopicReader {
  readonly topics: ReadonlySet<string>;
  /** The event that was on its way when it came, which is not its any more. */
  joinedAt: Position;
  /** An event of one of them was appended. */
  onEvent(event: SseEvent, position: Position): void;
}

/** Follows the log, once for all readers, and hands each event to those of its topic. A topic that nobody reads has no entry here. */
export class ChannelHub {
  /** How many readers there are. */
  size = 0;
  readonly #readers = new Map<string, Set<TopicReader>>();
  #routing: Position = 0;

  constructor(readonly log: ChannelLog) {
    log.follow((event, position) => this.#route(event, position));
  }

  sizeOf(topic: string): number {
    return this.#readers.get(topic)?.size ?? 0;
  }

  add(reader: TopicReader): void {
    this.size++;
    reader.joinedAt = this.#routing;
    for (const topic of reader.topics) {
      const readers = this.#readers.get(topic);
      if (readers) readers.add(reader);
      else this.#readers.set(topic, new Set([reader]));
    }
  }

  remove(reader: TopicReader): void {
    this.size--;
    for (const topic of reader.topics) {
      const readers = this.#readers.get(topic);
      readers?.delete(reader);
      if (readers?.size === 0) this.#readers.delete(topic);
    }
  }

  /** The hot path of a fan-out: per reader one call, and nothing that is allocated. */
  #route(event: ChannelEvent, position: Position): void {
    const readers = this.#readers.get(event.topic);
    if (!readers) return;
    const numbered = event.at(this.log.epoch, position);
    this.#routing = position;
    for (const reader of readers) if (reader.joinedAt !== position) reader.onEvent(numbered, position);
    this.#routing = 0;
  }
}
