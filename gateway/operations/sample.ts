/** The picture of the gateway that a scrape of its metrics shows. */
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { exportedTo } from '../../federation/catalogue/exported.ts';
import { type PeeringStatus } from '../../federation/peering/status.ts';
import { type TallyCounts } from '../../federation/peering/tally.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type PollState } from '../../trust-bundles/source/bundle-poll.ts';
import { type PeerStatus } from '../admin/operations.ts';
import { type PeerSample } from '../telemetry/sample.ts';
import { earliestEndMs } from './bundles.ts';

/** What a peer's sample is made of. */
export interface SampledPeer {
  readonly snapshot: Snapshot;
  readonly status: PeerStatus;
  readonly peering: PeeringStatus | undefined;
  /** Control streams that have ended, by code. */
  readonly ends: ReadonlyMap<string, number>;
  readonly counts: TallyCounts;
  readonly catalogue: ImportedCatalogue | undefined;
  /** Of its bundle. */
  readonly poll: PollState | undefined;
  readonly refreshedAtMs: number | undefined;
  readonly nowMs: number;
}

/** One peer's sample. */
export function peerSample(sampled: SampledPeer): PeerSample {
  const { snapshot, status, peering, catalogue, nowMs } = sampled;
  const peer = snapshot.peers.get(status.name);
  const bundle = peer && snapshot.bundles.get(peer.trustDomain);
  const ours = snapshot.bundles.get(snapshot.trustDomain)?.sequence;
  const held = peering?.theyHoldOurBundleSequence;
  const endMs = bundle && earliestEndMs(bundle);
  const imports = [...snapshot.imports.values()].filter((item) => item.peer === status.name);
  const active = imports.filter((item) => item.state === 'active').length;
  return {
    peer: status.name,
    state: status.state,
    heartbeatAgeSeconds: status.heartbeatAgeSeconds ?? undefined,
    linksOutbound: status.linksOutbound,
    linksInbound: status.linksInbound,
    bundleSequence: bundle?.sequence,
    bundleNotAfterSeconds: endMs === undefined ? undefined : (endMs - nowMs) / 1000,
    ...freshness(sampled),
    bundleBehind: ours !== undefined && (held === undefined || held < ours),
    catalogVersionOurs: peering === undefined ? undefined : Number(peering.theirAppliedVersion),
    catalogVersionTheirs: peering === undefined ? undefined : Number(peering.appliedVersion),
    catalogLagSeconds: peering === undefined ? undefined : peering.unansweredMs / 1000,
    exportsOffered: peer === undefined ? 0 : exportedTo(snapshot.exports.values(), peer).length,
    importsReceived: catalogue?.entries.size ?? 0,
    importReadyRatio: imports.length === 0 ? undefined : active / imports.length,
    queueDepth: peering?.waiting,
    acks: sampled.counts.acks,
    nacks: sampled.counts.nacks,
    reconnects: sampled.ends,
    resyncs: sampled.counts.resyncs,
  };
}

type Freshness = Pick<PeerSample, 'bundleAgeSeconds' | 'bundleFetches' | 'bundleKeysIgnored'>;

function freshness({ poll, refreshedAtMs, nowMs }: SampledPeer): Freshness {
  return {
    bundleAgeSeconds: refreshedAtMs === undefined ? undefined : (nowMs - refreshedAtMs) / 1000,
    bundleFetches: new Map([
      ['succeeded', poll?.succeeded ?? 0],
      ['failed', poll?.failed ?? 0],
    ]),
    bundleKeysIgnored: poll?.ignored,
  };
}
