/** When a link is to be replaced, when it takes no new calls and when it ends: before its SVIDs expire. */

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

/** The term of a link that starts now. `random` in [0, 1) spreads the replacements of many links. */
export function linkTerm(nowMs: number, expiresAtMs: number, random: number): LinkTerm {
  const leftMs = Math.max(0, expiresAtMs - nowMs);
  return {
    replaceAtMs: nowMs + leftMs * (REPLACE_AT + REPLACE_JITTER * random),
    noNewCallsAtMs: nowMs + leftMs * NO_NEW_CALLS_AT,
    endsAtMs: expiresAtMs,
  };
}
