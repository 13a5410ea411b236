/** When a link is to be replaced, when it takes no new calls and when it ends: before its SVIDs expire, and of old age. */

/** Shares of the time that is left when a link starts. The dialler replaces first, the acceptor turns calls away later. */
const REPLACE_AT = 0.7;
const REPLACE_JITTER = 0.1;
const NO_NEW_CALLS_AT = 0.9;

/** Milliseconds since 1970. */
export interface LinkTerm {
  readonly replaceAtMs: number;
  readonly noNewCallsAtMs: number;
  readonly endsAtMs: number;
}

/** When a link ends that began at `sinceMs`: with its SVIDs, and at its maximum age (`undefined` for none) in any case. */
export function linkEndMs(sinceMs: number, expiresAtMs: number, maxAgeMs: number | undefined): number {
  return Math.min(expiresAtMs, sinceMs + (maxAgeMs ?? Infinity));
}

/** The term of a link that starts now and ends at `endsAtMs`. `random` in [0, 1) spreads the replacements of many links. */
export function linkTerm(nowMs: number, endsAtMs: number, random: number): LinkTerm {
  const leftMs = Math.max(0, endsAtMs - nowMs);
  return {
    replaceAtMs: nowMs + leftMs * (REPLACE_AT + REPLACE_JITTER * random),
    noNewCallsAtMs: nowMs + leftMs * NO_NEW_CALLS_AT,
    endsAtMs,
  };
}
