/** How much of what is believed one new bundle changes: a takeover looks like a rotation of everything at once. */
import { type Bundle } from './bundle.ts';

/** Roots that went, of how many. */
export interface Turnover {
  readonly gone: number;
  readonly of: number;
}

/**
 * Present when more than half of the roots that were believed are gone. A root rotation in steps (new beside old, then
 * the old one retired) stays at or below half; a bundle without roots before has none to lose.
 */
export function turnoverOf(before: Bundle | undefined, after: Bundle): Turnover | undefined {
  const kept = new Set(after.x509Authorities.map(({ fingerprint }) => fingerprint));
  const had = before?.x509Authorities ?? [];
  const gone = had.filter(({ fingerprint }) => !kept.has(fingerprint)).length;
  return gone * 2 > had.length ? { gone, of: had.length } : undefined;
}
