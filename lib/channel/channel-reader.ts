import type { Subscriber } from 'rxjs';
import { type ResetReason, resetFields } from '../event/reset.js';
import { SseEvent } from '../event/sse-event.js';
import type { LogPage, Position } from '../log/event-log.js';
import type { Pace } from '../source/paced-source.js';
import type { ChannelEvent } from './channel-event.js';
import type { TopicReader } from './channel-hub.js';
import { formatId, parseId } from './channel-id.js';
import type { ChannelLog } from './channel-log.js';
import type { ChannelStreamOptions } from './channel.js';

/** What is read from the log at once; between two pages the event loop turns. */
const PAGE_BYTES = 65_536;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * A cursor in the log of the channels, at the pace of whoever reads it.
 *
 *     reading --the log has no more--> live --the reader takes no more--> reading --> ...
 *
 * While it is reading it takes events from the log, page by page; while it is live it is handed each event as it is appended. It hears of
 * appended events in both states, and goes live only when it has read all that it has heard of: so none is missed in between, and as the
 * cursor only goes forward none comes twice.
 */
export class ChannelReader implements TopicReader {
  joinedAt: Position = 0;
  #state: 'reading' | 'live' | 'closed' = 'reading';
  /** All events of its topics up to here were emitted, or are known to be lost. */
  #cursor: Position = 0;
  /** The first and the newest event that it has heard of while it was reading. */
  #firstHeard: Position | undefined;
  #heard: Position = 0;

  constructor(
    readonly topics: ReadonlySet<string>,
    private readonly log: ChannelLog,
    private readonly subscriber: Subscriber<SseEvent>,
    private readonly pace: Pace,
  ) {}

  /** Begins to read; it must hear of events from now on. */
  async start(options: ChannelStreamOptions): Promise<void> {
    await this.#attempt(async () => {
      await this.#begin(options);
      await this.#catchUp();
    });
  }

  close(): void {
    this.#state = 'closed';
  }

  onEvent(event: SseEvent, position: Position): void {
    // it came from the log already: an engine may tell of an event later than it gives it
    if (position <= this.#cursor) return;
    if (this.#state !== 'live') {
      this.#firstHeard ??= position;
      this.#heard = position;
      return;
    }
    const pause = this.pace.ready();
    if (pause) this.#fallBehind(position, pause);
    else this.#emit(event, position);
  }

  #fallBehind(position: Position, pause: Promise<void>): void {
    this.#state = 'reading';
    // it has heard of all before, so that nothing that is trimmed there is missing
    this.#cursor = position - 1;
    void this.#attempt(async () => {
      await pause;
      await this.#catchUp();
    });
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.subscriber.error(error);
    }
  }

  /** Puts the cursor where the stream begins. */
  async #begin({ after, replay }: ChannelStreamOptions): Promise<void> {
    if (after !== undefined) return this.#beginAfter(after);
    const position = replay === undefined ? await this.log.tail() : await this.log.positionBefore(this.topics, replay);
    // an engine that took its time: what was published meanwhile belongs to the stream
    this.#cursor = Math.min(position, (this.#firstHeard ?? Infinity) - 1);
  }

  async #beginAfter(after: string): Promise<void> {
    const id = parseId(after);
    if (!id) await this.#reset('malformed');
    else if (id.epoch !== this.log.epoch) await this.#reset('unknown');
    else if (id.position > (await this.log.tail())) await this.#reset('future');
    else this.#cursor = id.position;
  }

  /** Reads until the log has no more. */
  async #catchUp(): Promise<void> {
    for (let pages = 0; ; pages++) {
      await this.pace.ready();
      if (this.#state !== 'reading') return;
      const page = await this.log.read(this.#cursor, PAGE_BYTES);
      if (page.isTrimmed && (await this.#lostUpTo()) > this.#cursor) {
        await this.#reset('trimmed');
        continue;
      }
      if (this.#state !== 'reading') return;
      if (page.events.length === 0 && this.#heard <= this.#cursor) {
        this.#state = 'live';
        return;
      }
      if (pages > 0) await nextTurn();
      this.#emitPage(page);
    }
  }

  /** Emits what of a page is of its topics, as far as it is taken. */
  #emitPage({ events, reached }: LogPage<ChannelEvent>): void {
    let position = reached - events.length;
    for (const event of events) {
      position++;
      if (!this.topics.has(event.topic)) continue;
      if (this.#state !== 'reading' || this.pace.ready()) {
        this.#cursor = position - 1;
        return;
      }
      this.#emit(event.at(this.log.epoch, position), position);
    }
    this.#cursor = reached;
  }

  #emit(event: SseEvent, position: Position): void {
    this.#cursor = position;
    this.subscriber.next(event);
  }

  /**
   * Says that events may be missing. Its id is the position from which on the log has all of these topics, so that a client that is cut
   * right after it reads on from there.
   */
  async #reset(reason: ResetReason): Promise<void> {
    await this.pace.ready();
    const lostUpTo = await this.#lostUpTo();
    if (this.#state !== 'reading') return;
    this.#emit(new SseEvent(resetFields(reason, formatId(this.log.epoch, lostUpTo))), lostUpTo);
  }

  /** A position after which the log has every event of these topics. */
  async #lostUpTo(): Promise<Position> {
    const positions = await Promise.all([...this.topics].map(async (topic) => this.log.trimmedUpTo(topic)));
    return positions.reduce((a, b) => Math.max(a, b));
  }
}
