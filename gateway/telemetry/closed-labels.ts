/** Label values of closed sets, made of what a call says about itself. */
import { type CallSubjectFacts } from './call-subject.ts';

/** Names that configuration knows: the only ones that become label values. */
export interface KnownNames {
  readonly peers: ReadonlySet<string>;
  /** Names of our exports, and of the peers' exports that our imports name. */
  readonly exports: ReadonlySet<string>;
}

/**
 * Pairs of peer and export: those of a busy gateway fit; beyond it calls count as `unknown`, so that configuration
 * which comes and goes cannot fill the memory of gateway or Prometheus.
 */
const SERIES_MAX = 20_000;
/** Reason codes come from one table of ours, which is much smaller. */
const REASONS_MAX = 100;
const UNKNOWN = 'unknown';

/** Turns what a call says about itself into values of closed sets. */
export class ClosedLabels {
  readonly #known: () => KnownNames;
  readonly #pairs = new Set<string>();
  readonly #reasons = new Set<string>();

  constructor(known: () => KnownNames) {
    this.#known = known;
  }

  /** The labels `peer` and `export`. Asks for the known names. */
  of(facts: Pick<CallSubjectFacts, 'peer' | 'export'>): { readonly peer: string; readonly exported: string } {
    const { peers, exports } = this.#known();
    const peer = facts.peer !== undefined && (facts.peer === 'self' || peers.has(facts.peer)) ? facts.peer : UNKNOWN;
    const exported = facts.export !== undefined && exports.has(facts.export) ? facts.export : UNKNOWN;
    const pair = `${peer} ${exported}`;
    if (!this.#pairs.has(pair)) {
      if (this.#pairs.size >= SERIES_MAX) return { peer: UNKNOWN, exported: UNKNOWN };
      this.#pairs.add(pair);
    }
    return { peer, exported };
  }

  /** The label `reason`. */
  reason(reason: string | undefined): string {
    if (reason === undefined || this.#reasons.has(reason)) return reason ?? UNKNOWN;
    if (this.#reasons.size >= REASONS_MAX || !/^[a-z][a-z0-9-]{0,63}$/.test(reason)) return UNKNOWN;
    this.#reasons.add(reason);
    return reason;
  }
}
