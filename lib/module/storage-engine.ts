import { type ChannelLog, createChannelLog } from '../channel/channel-log.js';
import type { Clock } from '../clock/clock.js';
import type { ResolvedModuleOptions } from '../options/resolve.js';
import { MemoryDirectory } from '../resume/memory-directory.js';
import type { SessionDirectory } from '../resume/session-directory.js';

/** In what an application keeps what clients come back to: the two ports for storage. Nothing above them knows which engine is behind. */
export interface StorageEngine {
  readonly directory: SessionDirectory;
  readonly channelLog: ChannelLog;
}

/** The token of the one that an application uses. */
export const STORAGE_ENGINE = Symbol('nestjs-sse-session.storage-engine');

/** Keeps it in the memory of this process, and ends with it. */
export function memoryEngine(options: ResolvedModuleOptions, clock: Clock): StorageEngine {
  return {
    directory: new MemoryDirectory(clock, options.resumeMaxTotalBytes),
    channelLog: createChannelLog(options.channels, () => clock.now()),
  };
}
