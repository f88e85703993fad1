import type { Subscriber } from 'rxjs';
import type { SseEvent } from '../event/sse-event.js';
import { type Pace, PacedSource } from '../source/paced-source.js';
import type { ChannelHub } from './channel-hub.js';
import { ChannelReader } from './channel-reader.js';
import type { ChannelStreamOptions } from './channel.js';

/** The stream of some channels, of which every subscription has a cursor of its own. */
export class ChannelSource extends PacedSource<SseEvent> {
  constructor(
    private readonly hub: ChannelHub,
    private readonly topics: ReadonlySet<string>,
    private readonly options: ChannelStreamOptions,
  ) {
    super();
  }

  protected override read(subscriber: Subscriber<SseEvent>, pace: Pace): () => void {
    const reader = new ChannelReader(this.topics, this.hub.log, subscriber, pace);
    // before it asks where the log ends, so that it hears of whatever comes after that
    this.hub.add(reader);
    void reader.start(this.options);
    return () => {
      reader.close();
      this.hub.remove(reader);
    };
  }
}
