/** When a link is re-proved, is to be replaced, takes no new calls and ends: before its SVIDs expire, and of old age. */
import { type Clock } from '../../base/clock.ts';

/**
 * Shares of the time that is left when a proof was given. SVIDs are renewed at half of their lives at the latest, so by
 * half of what is left the other end has a newer one. The dialler replaces what cannot be re-proved, and the acceptor
 * turns calls away later.
 */
const REPROVE_AT = 0.5;
const REPROVE_JITTER = 0.1;
const REPLACE_AT = 0.7;
const REPLACE_JITTER = 0.1;
const NO_NEW_CALLS_AT = 0.9;

/** As often as bundles are refreshed by default: before a root is withdrawn, links are proved by the next. */
const REPROVE_EVERY_MS_MAX = 300_000;

/** Of the time that is left: by so much an attempt follows one that brought nothing. */
const RETRY_SHARE = 0.15;

/** The acceptor takes one in half of this time. */
const ATTEMPT_EVERY_MS_MIN = 1_000;

/** Milliseconds since 1970. */
export interface LinkTerm {
  readonly reproveAtMs: number;
  readonly replaceAtMs: number;
  readonly noNewCallsAtMs: number;
  readonly endsAtMs: number;
}

/** When a link ends that began at `sinceMs`: with its SVIDs, and at its maximum age (`undefined` for none) in any case. */
export function linkEndMs(sinceMs: number, expiresAtMs: number, maxAgeMs: number | undefined): number {
  return Math.min(expiresAtMs, sinceMs + (maxAgeMs ?? Infinity));
}

/** The term of a link that is proved now and ends at `endsAtMs`. `random` in [0, 1) spreads what many links do. */
export function linkTerm(nowMs: number, endsAtMs: number, random: number): LinkTerm {
  const leftMs = Math.max(0, endsAtMs - nowMs);
  return {
    reproveAtMs: nowMs + Math.min(leftMs, REPROVE_EVERY_MS_MAX / REPROVE_AT) * (REPROVE_AT + REPROVE_JITTER * random),
    replaceAtMs: nowMs + leftMs * (REPLACE_AT + REPLACE_JITTER * random),
    noNewCallsAtMs: nowMs + leftMs * NO_NEW_CALLS_AT,
    endsAtMs,
  };
}

/** The term after a proof by which the link ends at `endsAtMs`: if that is as before, nothing moves but the next attempt. */
export function renewedTerm(term: LinkTerm, nowMs: number, endsAtMs: number, random: number): LinkTerm {
  if (endsAtMs !== term.endsAtMs) return linkTerm(nowMs, endsAtMs, random);
  const reproveAtMs = term.reproveAtMs > nowMs ? term.reproveAtMs : nextAttemptMs(term, nowMs);
  return { ...term, reproveAtMs };
}

/** When a re-proof is tried again that brought nothing. */
export function nextAttemptMs({ endsAtMs }: LinkTerm, nowMs: number): number {
  const delayMs = Math.min((endsAtMs - nowMs) * RETRY_SHARE, REPROVE_EVERY_MS_MAX);
  return nowMs + Math.max(ATTEMPT_EVERY_MS_MIN, delayMs);
}

/** What is done at the points of a term. */
export interface TermEvents {
  readonly onReplace?: () => void;
  readonly onNoNewCalls: () => void;
  readonly onEnd: () => void;
}

/** Watches the clock for one link, whose term a re-proof moves. */
export class TermTimers implements Disposable {
  readonly #clock: Clock;
  readonly #events: TermEvents;
  #term: LinkTerm;
  #timers: readonly Disposable[] = [];
  #isOver = false;

  constructor(clock: Clock, term: LinkTerm, events: TermEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#term = term;
    this.term = term;
  }

  get term(): LinkTerm {
    return this.#term;
  }

  set term(term: LinkTerm) {
    this.#stop();
    this.#term = term;
    if (this.#isOver) return;
    const nowMs = this.#clock.now();
    const { onEnd, onNoNewCalls, onReplace } = this.#events;
    this.#timers = [
      ...(onReplace === undefined ? [] : [this.#clock.after(term.replaceAtMs - nowMs, onReplace)]),
      this.#clock.after(term.noNewCallsAtMs - nowMs, onNoNewCalls),
      this.#clock.after(term.endsAtMs - nowMs, onEnd),
    ];
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#stop();
  }

  #stop(): void {
    for (const timer of this.#timers) timer[Symbol.dispose]();
  }
}
