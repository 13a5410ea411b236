/** The loop guard: the meshes that a call has crossed (wire.md, Headers). */
import { type TrustDomain, tryTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type ReasonCode } from '../refusal/reason.ts';

/** Meshes that a call may cross; transit is rare and a longer way is a mistake. */
const HOPS_MAX = 4;

/** Whether the call has been here before, or has come too far. `hops` are the values of `jumpgate-hops`, joined by commas. */
export function hopsProblem(hops: string | undefined, own: TrustDomain): ReasonCode | undefined {
  if (hops === undefined) return undefined;
  const crossed = hops.split(',', HOPS_MAX + 1).map((hop) => hop.trim());
  if (crossed.length > HOPS_MAX) return 'limit-hops';
  if (crossed.some((hop) => tryTrustDomain(hop) === undefined)) return 'header-malformed';
  return crossed.some((hop) => hop === own) ? 'loop' : undefined;
}
