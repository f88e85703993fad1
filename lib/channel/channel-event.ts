import { type EventFields, encode } from '../event/encode.js';
import { SseEvent } from '../event/sse-event.js';
import type { Loggable, Position } from '../log/event-log.js';
import { formatId } from './channel-id.js';

/** An event in the log of the channels, which is in memory once for all who read it. */
export class ChannelEvent implements Loggable {
  readonly byteLength: number;
  #event: SseEvent | undefined;

  constructor(
    readonly topic: string,
    /** Without an id: that is where it stands in the log. */
    readonly fields: EventFields,
  ) {
    this.byteLength = (fields instanceof SseEvent ? SseEvent.encoded(fields) : encode(fields)).byteLength;
  }

  /** With its id; made for the first who reads it, and encoded once for all. */
  at(epoch: string, position: Position): SseEvent {
    return (this.#event ??= new SseEvent({ ...this.fields, id: formatId(epoch, position) }));
  }
}
