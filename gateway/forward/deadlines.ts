/** Deadlines of calls on a wheel: adding and removing one costs a few assignments, since nearly all of them never come. */
import { type Clock } from '../../base/clock.ts';

/** Lateness of a deadline; a caller whose deadline is a millisecond still has its call cancelled well within 100 ms. */
const SLOT_MS = 16;

/** Four seconds a turn; what is later waits for its turn. A power of two. */
const SLOTS = 256;

/** What can be due. It is a member of the wheel by itself, so that no entry is allocated. */
export class Due {
  /** Monotonic milliseconds. */
  dueAtMs = Infinity;
  next: Due | undefined = undefined;
  previous: Due | undefined = undefined;
  /** -1 off the wheel. */
  slot = -1;

  /** Called once when the time has come; the wheel has let go of it then. */
  onDue(): void {
    // Nothing is ever due for the sentinels of the slots.
  }
}

/** A wheel. It has a timer only while something is on it. */
export class Deadlines implements Disposable {
  readonly #clock: Clock;
  /** A sentinel for each slot: the ring of what is due in it. */
  readonly #slots: readonly Due[];
  #size = 0;
  #timer: Disposable | undefined;
  /** The slot up to which everything has been looked at, counted since time 0. */
  #reached = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#slots = Array.from({ length: SLOTS }, () => {
      const ring = new Due();
      ring.next = ring;
      ring.previous = ring;
      return ring;
    });
  }

  /** Puts `due` on the wheel. It must not be on one. */
  add(due: Due, atMs: number): void {
    if (this.#size === 0) this.#reached = Math.floor(this.#clock.monotonic() / SLOT_MS);
    const count = Math.max(Math.ceil(atMs / SLOT_MS), this.#reached + 1);
    const ring = this.#slots[count & (SLOTS - 1)];
    if (ring === undefined) return;
    due.dueAtMs = atMs;
    due.slot = count & (SLOTS - 1);
    due.previous = ring.previous;
    due.next = ring;
    if (ring.previous !== undefined) ring.previous.next = due;
    ring.previous = due;
    this.#size += 1;
    this.#timer ??= this.#clock.after(SLOT_MS, this.#onTick);
  }

  /** Takes `due` off; nothing happens if it is not on the wheel. */
  remove(due: Due): void {
    if (due.slot < 0) return;
    if (due.previous !== undefined) due.previous.next = due.next;
    if (due.next !== undefined) due.next.previous = due.previous;
    due.slot = -1;
    due.next = undefined;
    due.previous = undefined;
    this.#size -= 1;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  readonly #onTick = (): void => {
    const nowMs = this.#clock.monotonic();
    const now = Math.floor(nowMs / SLOT_MS);
    // After a stop of the process every slot is looked at once, not once for each turn that was missed.
    const from = Math.max(this.#reached + 1, now - SLOTS + 1);
    this.#reached = now;
    const broken: unknown[] = [];
    for (let count = from; count <= now; count += 1) this.#expire(this.#slots[count & (SLOTS - 1)], nowMs, broken);
    this.#timer = this.#size > 0 ? this.#clock.after(SLOT_MS, this.#onTick) : undefined;
    // A broken invariant must be seen, and crashes the process where nobody decides otherwise.
    if (broken.length > 0) throw broken.length === 1 ? broken[0] : new AggregateError(broken, 'deadlines failed');
  };

  /** What is due is found first, since what `onDue` does may take others off. What one throws keeps no other from its time. */
  #expire(ring: Due | undefined, nowMs: number, broken: unknown[]): void {
    const expired: Due[] = [];
    for (let due = ring?.next; due !== undefined && due !== ring; due = due.next) {
      if (due.dueAtMs <= nowMs) expired.push(due);
    }
    for (const due of expired) {
      if (due.slot < 0 || due.dueAtMs > nowMs) continue;
      this.remove(due);
      try {
        due.onDue();
      } catch (error) {
        broken.push(error);
      }
    }
  }
}
