import type { ChannelOptions, Complete } from '../options/options.js';
import type { EventLog } from '../log/event-log.js';
import { MemoryLog } from '../log/memory-log.js';
import type { ChannelEvent } from './channel-event.js';
import { newEpoch } from './channel-id.js';

/** The one log of all channels, so that one id says how far a client has come in any set of them. */
export type ChannelLog = EventLog<ChannelEvent>;

/** In memory; its events end with the process. `now` is a clock in milliseconds. */
export function createChannelLog(options: Complete<ChannelOptions>, now: () => number): ChannelLog {
  return new MemoryLog(newEpoch(), options, now);
}
