/** Whether a client of a mutual-TLS listener is a workload of our own mesh. */
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';

/** Only the bundle of our own trust domain is offered, so no other domain's SVID can verify. */
export function admitOwn(chain: readonly Uint8Array[], snapshot: Snapshot, nowMs: number): Verification {
  const own = snapshot.bundles.get(snapshot.trustDomain);
  const bundles = new Map(own === undefined ? [] : [[snapshot.trustDomain, own] as const]);
  const verdict = verifySvid({ chain, trust: { bundles, tainted: snapshot.tainted }, role: 'client', nowMs });
  if (verdict.kind === 'rejected' || !distrustsId(snapshot.distrust, verdict.id)) return verdict;
  return { kind: 'rejected', code: 'quarantined', message: `${verdict.id} is quarantined here` };
}
