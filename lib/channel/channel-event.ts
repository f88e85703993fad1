import type { EventFields } from '../event/encode.js';
import { SseEvent } from '../event/sse-event.js';
import type { Loggable, Position } from '../log/event-log.js';
import { formatId } from './channel-id.js';

/** An event in the log of the channels, which is in memory once for all who read it. */
export class ChannelEvent implements Loggable {
  readonly byteLength: number;
  /** Without an id until somebody reads it: that is where it stands in the log. */
  #event: SseEvent;

  constructor(
    readonly topic: string,
    fields: EventFields,
  ) {
    this.#event = fields instanceof SseEvent ? fields : new SseEvent(fields);
    this.byteLength = SseEvent.encoded(this.#event).byteLength;
  }

  /** With its id, which is put into it for the first who reads it, once for all. */
  at(epoch: string, position: Position): SseEvent {
    if (this.#event.id === undefined) this.#event = SseEvent.withId(this.#event, formatId(epoch, position));
    return this.#event;
  }
}
