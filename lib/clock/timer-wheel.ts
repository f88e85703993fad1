import { AsyncResource } from 'node:async_hooks';
import type { Clock } from './clock.js';

/*
 * One timer for all sessions: a hashed wheel (Varghese and Lauck, scheme 6).
 *
 *   slots   0    1    2   ...  255      one slot = 50 ms, one turn = 12.8 s
 *           |         |
 *           A <-> B   C                 each a doubly linked list of alarms
 *
 * Setting and calling off an alarm is O(1). An alarm rings at the first slot boundary at or after its deadline: never early, and at most
 * one slot plus the event loop's own delay late. An alarm further away than one turn is looked at once per turn. While no alarm is set,
 * no timer runs; otherwise the one timer sleeps until the next slot that holds anything.
 *
 * Nothing here moves an alarm when a session is active: who is idle-timed looks, when it rings, at when it last was active, and asks to
 * be rung again at the new deadline. Activity therefore costs nothing.
 */
const SLOT_MS = 50;
const SLOTS = 256;

/** A wake-up so late that the event loop must have been blocked: what is pending in it is heard first, then the alarms ring. */
const BLOCKED_LOOP_MS = 150;

/*
 * A timer belongs to the AsyncLocalStorage context in which it was made. The shared timer is made while some request runs; entered
 * through this resource it belongs to none, so that no user's context ever meets another's.
 */
const noContext = new AsyncResource('nestjs-sse-session', { requireManualDestroy: true });
// it holds nothing, and `jest --detectOpenHandles` need not speak of it
noContext.emitDestroy();

/** What can be set on a wheel. Whoever wants to be rung extends it, so that most need no object more. */
export abstract class Alarm {
  deadline = Infinity;
  previous: Alarm | undefined = undefined;
  next: Alarm | undefined = undefined;
  slot = -1;

  /** Called at or after the deadline; returns the next deadline, `Infinity` for none. Must not throw. */
  abstract onAlarm(now: number): number;
}

export class TimerWheel {
  readonly #slots = new Array<Alarm | undefined>(SLOTS).fill(undefined);
  #size = 0;
  #lastTick: number;
  #armedTick = Infinity;
  #wakeAt = 0;
  #disarm: (() => void) | undefined;
  #yielded = false;

  constructor(readonly clock: Clock) {
    this.#lastTick = Math.floor(clock.now() / SLOT_MS);
  }

  /** How many alarms are set. */
  get size(): number {
    return this.#size;
  }

  /** Sets or moves an alarm; `Infinity` calls it off. */
  set(alarm: Alarm, deadline: number): void {
    if (alarm.slot >= 0) this.#unlink(alarm);
    alarm.deadline = deadline;
    if (deadline === Infinity) return this.#restIfIdle();
    const tick = this.#tickOf(deadline);
    this.#link(alarm, tick % SLOTS);
    if (tick < this.#armedTick) this.#arm(tick);
  }

  /** Makes an alarm ring at `deadline` unless it rings earlier anyway. */
  setNoLaterThan(alarm: Alarm, deadline: number): void {
    if (deadline < alarm.deadline) this.set(alarm, deadline);
  }

  cancel(alarm: Alarm): void {
    this.set(alarm, Infinity);
  }

  #tickOf(deadline: number): number {
    return Math.max(Math.ceil(deadline / SLOT_MS), this.#lastTick + 1);
  }

  #link(alarm: Alarm, slot: number): void {
    const head = this.#slots[slot];
    alarm.slot = slot;
    alarm.next = head;
    if (head) head.previous = alarm;
    this.#slots[slot] = alarm;
    this.#size++;
  }

  #unlink(alarm: Alarm): void {
    if (alarm.previous) alarm.previous.next = alarm.next;
    else this.#slots[alarm.slot] = alarm.next;
    if (alarm.next) alarm.next.previous = alarm.previous;
    alarm.previous = alarm.next = undefined;
    alarm.slot = -1;
    this.#size--;
  }

  #arm(tick: number): void {
    this.#disarm?.();
    this.#armedTick = tick;
    // at most one turn, as setTimeout takes no more than 2^31 ms: woken early, the wheel finds nothing due and sleeps on
    const now = this.clock.now();
    const delay = Math.min(SLOTS * SLOT_MS, Math.max(1, Math.ceil(tick * SLOT_MS - now)));
    this.#wakeAt = now + delay;
    this.#disarm = noContext.runInAsyncScope(() => this.clock.schedule(() => this.#wake(), delay));
  }

  #restIfIdle(): void {
    if (this.#size > 0) return;
    this.#disarm?.();
    this.#disarm = undefined;
    this.#armedTick = Infinity;
    this.#yielded = false;
  }

  #wake(): void {
    const now = this.clock.now();
    const late = now - this.#wakeAt > BLOCKED_LOOP_MS;
    this.#disarm = undefined;
    this.#armedTick = Infinity;
    if (late && !this.#yielded) {
      this.#yielded = true;
      this.#arm(Math.floor(now / SLOT_MS) + 1);
      return;
    }
    this.#yielded = false;
    for (const alarm of this.#collectDue(now)) {
      // an alarm that rang before this one may have called it off or moved it
      if (alarm.slot < 0 || alarm.deadline > now) continue;
      this.#unlink(alarm);
      alarm.deadline = Infinity;
      const next = alarm.onAlarm(now);
      if (next < alarm.deadline) this.set(alarm, next);
    }
    this.#armNext();
  }

  #collectDue(now: number): Alarm[] {
    const due: Alarm[] = [];
    const tick = Math.floor(now / SLOT_MS);
    const first = Math.max(this.#lastTick + 1, tick - SLOTS + 1);
    for (let t = first; t <= tick; t++) {
      for (let alarm = this.#slots[t % SLOTS]; alarm; alarm = alarm.next) {
        if (alarm.deadline <= now) due.push(alarm);
      }
    }
    this.#lastTick = Math.max(this.#lastTick, tick);
    return due;
  }

  #armNext(): void {
    if (this.#size === 0) return;
    for (let tick = this.#lastTick + 1; tick <= this.#lastTick + SLOTS; tick++) {
      if (!this.#slots[tick % SLOTS]) continue;
      if (tick < this.#armedTick) this.#arm(tick);
      return;
    }
  }
}
