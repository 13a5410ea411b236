/** Whom a rule names: what no rule names a peer for does not exist for that peer. */
import { patternDomain } from '../../trust-bundles/identity/match.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type AllowRule } from './rule.ts';

/** A peer as rules name it: `self` for our own mesh. */
export interface NamedPeer {
  readonly name: string;
  readonly trustDomain: TrustDomain;
}

/**
 * Whether some call of `peer` could be admitted by this rule as far as peers and identities go. The catalogue that a
 * peer gets and the answer that its calls get both hang on this, so that they never tell different stories.
 */
export function namesPeer(rule: AllowRule, peer: NamedPeer): boolean {
  if (rule.peers === undefined && rule.who === undefined) return false;
  if (rule.peers !== undefined && !rule.peers.includes(peer.name)) return false;
  return rule.who === undefined || rule.who.some((pattern) => patternDomain(pattern) === peer.trustDomain);
}
