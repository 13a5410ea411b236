/** Everything that the socket of one workload serves. */
import { type Clock } from '../../../base/clock.ts';
import { healthRpcs } from './health.ts';
import { jwtRpcs, type MintJwt } from './jwt-profile.ts';
import { reflectionRpcs, SERVICES } from './reflection.ts';
import { type Rpc } from './rpc.ts';
import { type Workload } from './workload.ts';
import { x509Profile } from './x509-profile.ts';

/**
 * The profiles, health checking and reflection. Without `mint` the JWT profile is off, as an operator may have it
 * (SPIFFE Workload API §1); its methods are then Unimplemented, as those of the WIT profile are (§7).
 */
export function workloadRpcs(workload: Workload, mint: MintJwt | undefined, clock: Clock): readonly Rpc[] {
  const { rpcs, svids } = x509Profile(workload);
  const jwt = mint === undefined ? [] : jwtRpcs(workload, mint, clock);
  return [...rpcs, ...jwt, ...healthRpcs(SERVICES, svids), ...reflectionRpcs()];
}
