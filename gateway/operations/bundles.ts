/** What the admin API tells of bundles: ours and the peers', with fingerprints and how fresh they are. */
import { X509Certificate } from 'node:crypto';

import { type BundleEndpointSpec } from '../../federation/resources/values.ts';
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type PollState } from '../../trust-bundles/source/bundle-poll.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type PhasedRoot } from '../../trust-bundles/rotation/phase.ts';
import { type BundleStatus } from '../admin/operations-bundles.ts';
import { authenticatingDomain } from './bundle-conditions.ts';

/** What the view asks for beside the snapshot. */
export interface BundleFacts {
  readonly poll: (trustDomain: TrustDomain) => PollState | undefined;
  readonly held: BundleSet;
  readonly endpointOf: (trustDomain: TrustDomain) => BundleEndpointSpec;
  readonly staleLimitOf: (trustDomain: TrustDomain) => { readonly afterMs: number };
  readonly nowMs: number;
  /** Fingerprint of the root that signs now. */
  readonly activeRoot: string | undefined;
  /** Ours; of others a bundle says only which there are. */
  readonly ownJwtKeys: () => readonly PhasedRoot[];
}

/** Our own bundle, and that of every peer that has one, believed or not. */
export function bundleStatuses(snapshot: Snapshot, facts: BundleFacts): readonly BundleStatus[] {
  const own = snapshot.bundles.get(snapshot.trustDomain);
  const peers = [...snapshot.peers.values()].flatMap((peer) => {
    const bundle = facts.held.get(peer.trustDomain);
    return bundle === undefined ? [] : [peerBundle(peer, bundle, facts)];
  });
  return [
    ...(own === undefined
      ? []
      : [{ ...NO_SOURCE, ...contents(own, facts), jwtKeys: jwtKeys(own, facts.ownJwtKeys()), peer: 'self' }]),
    ...peers,
  ];
}

/** The earliest end of a bundle's X.509 authorities, milliseconds since 1970. */
export function earliestEndMs(bundle: Bundle): number | undefined {
  const ends = bundle.x509Authorities.map(({ der }) => notAfterMs(der));
  return ends.length === 0 ? undefined : Math.min(...ends);
}

/** Of our own bundle, which is fetched from nowhere. */
const NO_SOURCE = {
  profile: null,
  endpoint: null,
  authenticatedBy: null,
  fetchedAt: null,
  nextFetchAt: null,
  staleAt: null,
  stale: false,
  ignoredKeys: 0,
  refused: null,
  message: null,
} as const;

type Contents = Pick<BundleStatus, 'trustDomain' | 'sequence' | 'authorities' | 'notAfter'>;

function contents(bundle: Bundle, { activeRoot }: BundleFacts): Contents {
  return {
    trustDomain: bundle.trustDomain,
    sequence: bundle.sequence === undefined ? null : String(bundle.sequence),
    authorities: bundle.x509Authorities.map(({ der, fingerprint }) => ({
      fingerprint,
      notAfter: new Date(notAfterMs(der)).toISOString(),
      state: fingerprint === activeRoot ? ('active' as const) : ('published' as const),
    })),
    notAfter: toTime(earliestEndMs(bundle)),
  };
}

function jwtKeys({ jwtAuthorities }: Bundle, own: readonly PhasedRoot[]): BundleStatus['jwtKeys'] {
  return jwtAuthorities.map(({ keyId }) => {
    const known = own.find(({ fingerprint }) => fingerprint === keyId);
    return {
      keyId,
      state: known?.phase ?? 'published',
      publishedAt: toTime(known?.notBeforeMs),
      notAfter: toTime(known?.notAfterMs),
    };
  });
}

function peerBundle({ name, trustDomain }: SnapshotPeer, bundle: Bundle, facts: BundleFacts): BundleStatus {
  const { held, nowMs } = facts;
  const poll = facts.poll(trustDomain);
  const endpoint = facts.endpointOf(trustDomain);
  const refreshedAtMs = held.refreshedAtMs(trustDomain);
  const staleAtMs = refreshedAtMs === undefined ? undefined : refreshedAtMs + facts.staleLimitOf(trustDomain).afterMs;
  const refused = held.refusedOffer(trustDomain);
  return {
    ...contents(bundle, facts),
    jwtKeys: jwtKeys(bundle, []),
    peer: name,
    profile: endpoint.kind,
    endpoint: endpoint.kind === 'link' ? null : endpoint.url,
    authenticatedBy: authenticatingDomain(endpoint, trustDomain) ?? null,
    fetchedAt: toTime(refreshedAtMs),
    nextFetchAt: toTime(poll?.nextMs),
    staleAt: toTime(staleAtMs),
    stale: staleAtMs !== undefined && nowMs >= staleAtMs,
    ignoredKeys: poll?.ignored ?? 0,
    refused: refused?.code ?? null,
    message: poll?.problem ?? null,
  };
}

function notAfterMs(der: Uint8Array): number {
  return new X509Certificate(der).validToDate.getTime();
}

function toTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
