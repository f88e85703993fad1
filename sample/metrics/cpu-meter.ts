import { cpus } from 'node:os';

interface Ticks {
  idle: number;
  all: number;
}

function ticks(): Ticks {
  const sum: Ticks = { idle: 0, all: 0 };
  for (const { times } of cpus()) {
    sum.idle += times.idle;
    sum.all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return sum;
}

/** How busy the machine's processors were since the last look. */
export class CpuMeter {
  private last = ticks();

  percent(): number {
    const now = ticks();
    const all = now.all - this.last.all;
    const idle = now.idle - this.last.idle;
    this.last = now;
    return all === 0 ? 0 : (100 * (all - idle)) / all;
  }
}
