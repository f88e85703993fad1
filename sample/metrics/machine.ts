import { freemem, totalmem } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable } from '@nestjs/common';
import { sseEvent, type SseEvent } from 'nestjs-sse-session';
import { defer, finalize, interval, map, share, type Observable } from 'rxjs';
import { CpuMeter } from './cpu-meter.js';

const INTERVAL_MS = 500;
const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

export interface Figures {
  at: number;
  cpuPercent: number;
  memoryPercent: number;
  processBytes: number;
  heapBytes: number;
  /** The worst delay of the event loop since the last figures. */
  eventLoopMs: number;
}

@Injectable()
export class Machine {
  /** One measurement, encoded once, for all who watch; nothing is measured while nobody does. */
  readonly figures$: Observable<SseEvent> = defer(() => {
    const cpu = new CpuMeter();
    const eventLoop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    eventLoop.enable();
    return interval(INTERVAL_MS).pipe(
      map(() => {
        // Node measures from one tick of its sampling timer to the next, so an idle loop shows the resolution.
        const figures = measure(cpu, Math.max(0, eventLoop.max / NS_PER_MS - RESOLUTION_MS));
        eventLoop.reset();
        return sseEvent({ type: 'figures', data: figures });
      }),
      finalize(() => eventLoop.disable()),
    );
  }).pipe(share());
}

function measure(cpu: CpuMeter, eventLoopMs: number): Figures {
  const { rss, heapUsed } = process.memoryUsage();
  return {
    at: Date.now(),
    cpuPercent: cpu.percent(),
    memoryPercent: 100 * (1 - freemem() / totalmem()),
    processBytes: rss,
    heapBytes: heapUsed,
    eventLoopMs,
  };
}
