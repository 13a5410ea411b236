/** When to ask for a bundle again: a pure function of its hint (SPIFFE Federation §4.1, §6.2). */

/** Recommended by SPIFFE Federation §4.1 when a bundle says nothing. */
const HINT_SECONDS_DEFAULT = 300;
/** A hint below this would let a peer make us hammer it. */
const HINT_SECONDS_MIN = 30;
/** A hint above this would let a peer's rotation or revocation go unseen for too long. */
const HINT_SECONDS_MAX = 3_600;
/** The early end of the jitter: never later than the hint asks, and replicas that start together drift apart. */
const JITTER_EARLIEST = 0.8;

/**
 * Milliseconds until the next fetch, after a success and after a failure alike (a failed fetch waits for the next
 * interval: no storms): the hint, held between 30 s and 1 h, times a factor from 0.8 to 1 that `random` (0 to 1)
 * chooses.
 */
export function refreshDelayMs(hintSeconds: number | undefined, random: number): number {
  const known = hintSeconds !== undefined && Number.isFinite(hintSeconds) ? hintSeconds : HINT_SECONDS_DEFAULT;
  const seconds = Math.min(Math.max(known, HINT_SECONDS_MIN), HINT_SECONDS_MAX);
  const share = Math.min(Math.max(random, 0), 1);
  return Math.round(seconds * 1000 * (JITTER_EARLIEST + (1 - JITTER_EARLIEST) * share));
}
