/** A log of refused connections that strangers cannot flood. */
import { type Clock } from '../../base/clock.ts';
import { type Logger, type LogFields } from '../../base/log.ts';

/** Enough to see what is going on, little enough that an attack does not fill a disk. */
const LINES_PER_WINDOW_MAX = 20;
const WINDOW_MS = 10_000;

/** Counts every refusal, and logs so many of them per ten seconds; the next window says how many were left out. */
export class RefusalLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  #windowStartMs: number;
  #lines = 0;
  #leftOut = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#windowStartMs = clock.monotonic();
  }

  /** Logs one refusal at level info, or counts it. */
  refused(fields: LogFields): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_PER_WINDOW_MAX) {
      this.#leftOut += 1;
      return;
    }
    this.#lines += 1;
    const leftOut = this.#leftOut === 0 ? {} : { leftOut: this.#leftOut };
    this.#leftOut = 0;
    this.#log.info('connection refused', { ...fields, ...leftOut });
  }
}
