/** What the other end has wasted so far: resets, glitches and control frames (security.md section 3, C2, C3, C9, C15, C17). */
import { type ConnectionLimits } from './limits.ts';

/** What spending leads to: nothing, a GOAWAY with the streams allowed to finish, the end, or a report. */
export type Verdict = 'fine' | 'drain' | 'close' | 'report';

/** Resets are counted over this many seconds. */
const RESET_WINDOW_SECONDS = 10;

/** Whoever goes on after GOAWAY, to so many times what led to it, is cut. */
const CUT_FACTOR = 2;

/** Share of the glitches at which no more streams are taken. */
const GLITCH_DRAIN_SHARE = 0.75;

/** Harmless oddities (PING, PRIORITY, SETTINGS, unknown frames) that are free at the start, and at most. */
const ALLOWANCE_MAX = 100;

/** Free oddities that each second and each stream bring: keep-alive pings and a browser's PRIORITY must never add up. */
const ALLOWANCE_PER_SECOND = 10;
const ALLOWANCE_PER_STREAM = 2;

/** The budget of one connection. */
export class Budget {
  readonly #limits: ConnectionLimits;
  readonly #resets = new Uint32Array(RESET_WINDOW_SECONDS);
  readonly #opened = new Uint32Array(RESET_WINDOW_SECONDS);
  #slot = 0;
  #second = -1;
  #resetSum = 0;
  #openedSum = 0;
  #reported = false;
  #glitches = 0;
  #allowance = ALLOWANCE_MAX;
  #control = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Moves time on. */
  tick(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const steps = this.#second < 0 ? 0 : Math.min(second - this.#second, RESET_WINDOW_SECONDS);
    this.#second = second;
    for (let step = 0; step < steps; step += 1) this.#rotate();
    this.#allowance = Math.min(this.#allowance + steps * ALLOWANCE_PER_SECOND, ALLOWANCE_MAX);
  }

  /** A stream was opened by the other end. */
  opened(): void {
    this.#opened[this.#slot] = (this.#opened[this.#slot] ?? 0) + 1;
    this.#openedSum += 1;
    if (this.#allowance < ALLOWANCE_MAX) this.#allowance += ALLOWANCE_PER_STREAM;
  }

  /** A stream was reset by the other end, or because of what it did. */
  reset(): Verdict {
    this.#resets[this.#slot] = (this.#resets[this.#slot] ?? 0) + 1;
    this.#resetSum += 1;
    const { resetsMax, resetShare } = this.#limits;
    const most = Math.max(resetsMax, (resetShare?.max ?? 0) * this.#openedSum);
    if (this.#resetSum <= most) return 'fine';
    if (resetShare?.beyond !== 'report') return this.#resetSum > CUT_FACTOR * most ? 'close' : 'drain';
    if (this.#reported) return 'fine';
    this.#reported = true;
    return 'report';
  }

  /** Something that no honest endpoint sends. */
  glitch(): Verdict {
    this.#glitches += 1;
    if (this.#glitches >= this.#limits.glitchesMax) return 'close';
    return this.#glitches >= GLITCH_DRAIN_SHARE * this.#limits.glitchesMax ? 'drain' : 'fine';
  }

  /** Something that honest endpoints send now and then. */
  oddity(): Verdict {
    if (this.#allowance > 0) {
      this.#allowance -= 1;
      return 'fine';
    }
    return this.glitch();
  }

  /** A control frame was written as an answer. */
  control(): Verdict {
    this.#control += 1;
    return this.#control > this.#limits.controlFramesMax ? 'close' : 'fine';
  }

  /** The socket takes what is written. */
  flushed(): void {
    this.#control = 0;
  }

  #rotate(): void {
    this.#slot = (this.#slot + 1) % RESET_WINDOW_SECONDS;
    this.#resetSum -= this.#resets[this.#slot] ?? 0;
    this.#openedSum -= this.#opened[this.#slot] ?? 0;
    this.#resets[this.#slot] = 0;
    this.#opened[this.#slot] = 0;
    // Reported once per window at most.
    if (this.#slot === 0) this.#reported = false;
  }
}
