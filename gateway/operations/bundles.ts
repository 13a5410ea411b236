/** What the admin API tells of bundles: ours and the peers', with fingerprints and how fresh they are. */
import { X509Certificate } from 'node:crypto';

import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type PollState } from '../../trust-bundles/source/bundle-poll.ts';
import { type BundleStatus } from '../admin/operations.ts';

/** What the view asks for beside the snapshot. */
export interface BundleFacts {
  readonly poll: (trustDomain: TrustDomain) => PollState | undefined;
  /** Fingerprint of the root that signs now. */
  readonly activeRoot: string | undefined;
}

/** Every bundle of the snapshot, our own first. */
export function bundleStatuses(snapshot: Snapshot, facts: BundleFacts): readonly BundleStatus[] {
  const names = new Map([...snapshot.peers.values()].map((peer) => [peer.trustDomain, peer.name]));
  return [...snapshot.bundles.values()].map((bundle) => {
    const poll = facts.poll(bundle.trustDomain);
    return {
      trustDomain: bundle.trustDomain,
      peer: names.get(bundle.trustDomain) ?? 'self',
      sequence: bundle.sequence === undefined ? null : String(bundle.sequence),
      authorities: bundle.x509Authorities.map(({ der, fingerprint }) => ({
        fingerprint,
        notAfter: new Date(notAfterMs(der)).toISOString(),
        state: fingerprint === facts.activeRoot ? ('active' as const) : ('published' as const),
      })),
      notAfter: toTime(earliestEndMs(bundle)),
      fetchedAt: toTime(poll?.lastSuccessMs),
      nextFetchAt: toTime(poll?.nextMs),
      message: poll?.problem ?? null,
    };
  });
}

/** The earliest end of a bundle's X.509 authorities, milliseconds since 1970. */
export function earliestEndMs(bundle: Bundle): number | undefined {
  const ends = bundle.x509Authorities.map(({ der }) => notAfterMs(der));
  return ends.length === 0 ? undefined : Math.min(...ends);
}

function notAfterMs(der: Uint8Array): number {
  return new X509Certificate(der).validToDate.getTime();
}

function toTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
