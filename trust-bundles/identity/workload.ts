/** Which SPIFFE IDs a trust domain's CA gives to workloads. */
import { JumpgateError } from '../../base/errors.ts';
import { isReserved, pathOf, type SpiffeId, trustDomainOf } from './spiffe-id.ts';
import { type TrustDomain } from './trust-domain.ts';

/**
 * Refuses every ID that is not a workload's: throws `svid-id-foreign` (another trust domain), `svid-id-without-path` and
 * `svid-id-reserved` (the gateway's own, and everything under /jumpgate), all of source caller.
 */
export function checkWorkloadId(
  id: SpiffeId,
  issuer: { readonly trustDomain: TrustDomain; readonly gatewayId: SpiffeId },
): void {
  if (trustDomainOf(id) !== issuer.trustDomain) {
    const message = `expected an id of trust domain ${issuer.trustDomain}, found ${id}: only its own CA can issue it`;
    throw new JumpgateError('svid-id-foreign', message, { source: 'caller' });
  }
  if (pathOf(id) === '') {
    const message = `expected an id with a path, found ${id}: that names the trust domain, not a workload`;
    throw new JumpgateError('svid-id-without-path', message, { source: 'caller' });
  }
  if (isReserved(id) || id === issuer.gatewayId) {
    const message = `expected the id of a workload, found ${id}: it is reserved for the gateway`;
    throw new JumpgateError('svid-id-reserved', message, { source: 'caller' });
  }
}
