import { Alarm } from '../../lib/clock/timer-wheel.js';

/** An alarm that calls back. */
export class CallbackAlarm extends Alarm {
  readonly onAlarm: (now: number) => number;

  constructor({ onAlarm }: { onAlarm(this: void, now: number): number }) {
    super();
    this.onAlarm = onAlarm;
  }
}
