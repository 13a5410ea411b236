/** How long to wait before trying again: full jitter, so that those who failed together do not return together. */

/** Bounds of a backoff, milliseconds. */
export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Beyond this the exponential is at its bound whatever `minMs` is. */
const EXPONENT_MAX = 20;

/**
 * The delay before attempt `failures` + 1: uniform between `minMs` and min(`maxMs`, `minMs` x 2^failures).
 * `random` yields a number in [0, 1). (AWS Architecture Blog, "Exponential Backoff And Jitter", full jitter with a floor.)
 */
export function backoffMs(failures: number, options: BackoffOptions, random: () => number): number {
  const ceiling = Math.min(options.maxMs, options.minMs * 2 ** Math.min(Math.max(failures, 0), EXPONENT_MAX));
  return options.minMs + Math.floor(random() * Math.max(0, ceiling - options.minMs));
}
