import { type EncodedEvent, encode, encodeData } from '../../lib/event/encode.js';
import type { LogLimits } from '../../lib/log/event-log.js';
import { MemoryLog } from '../../lib/log/memory-log.js';
import { type LogAddress, SessionLog } from '../../lib/resume/session-log.js';

export const TOKEN = 'T'.repeat(22);
export const ADDRESS: LogAddress = { principal: undefined, key: undefined, route: 'GET /test', path: '/test' };

/** A log of its own, which no directory knows. */
export function sessionLog(limits: Partial<LogLimits> = {}): SessionLog {
  return new SessionLog(TOKEN, 'session', ADDRESS, new MemoryLog<EncodedEvent>(TOKEN, { maxBytes: 8_388_608, ...limits }));
}

/** An event with so many bytes of text after its number. */
export function numbered(n: number, size = 0, filler = 'x'): EncodedEvent {
  return encodeData(`<${n}>${filler.repeat(size)}`);
}

/** How a client has it. */
export function onWire(n: number, size = 0, filler = 'x'): string {
  return `data: <${n}>${filler.repeat(size)}\nid: ${TOKEN}:${n}\n\n`;
}

export function resetOnWire(reason: string, position: number | 'end'): string {
  return `event: reset\ndata: {"reason":"${reason}"}\nid: ${TOKEN}:${position}\n\n`;
}

export const END_EVENT = encode({ type: 'end', data: 'over' });
