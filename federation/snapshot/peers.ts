/** Which meshes are our peers: YAML documents and rows of the store put together. */
import { formatOrigin } from '../../base/origin.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { SELF_PEER } from '../policy/rule.ts';
import { type StoredPeer } from '../resources/stored-peer.ts';
import { type Peer } from '../resources/values.ts';
import { type Condition } from './condition.ts';
import { type SnapshotPeer } from './snapshot.ts';

/** What there is to put together. */
export interface PeerSources {
  readonly trustDomain: TrustDomain;
  readonly declared: readonly Peer[];
  readonly stored: readonly StoredPeer[];
}

/**
 * The peers by name. A document adopts the row of the same name and trust domain, and its words win. Where a document
 * and a row contradict each other the row stays, since a live peering may hang on it. A row with source `yaml` is a
 * peer only as long as a document of its name stands.
 */
export function mergePeers(sources: PeerSources): {
  readonly peers: ReadonlyMap<string, SnapshotPeer>;
  readonly conditions: readonly Condition[];
} {
  const { trustDomain, declared, stored } = sources;
  const peers = new Map<string, SnapshotPeer>();
  const conditions: Condition[] = [];
  const declaredNames = new Set(declared.map((peer) => peer.name));
  for (const row of stored) {
    if (row.source === 'yaml' && !declaredNames.has(row.name)) continue;
    const problem = problemWith(row, trustDomain, peers);
    if (problem === undefined) peers.set(row.name, peerOf(row.name, row));
    else
      conditions.push({
        resource: `Peer/${row.name}`,
        type: 'PeerRefused',
        message: `the stored peer is not used: ${problem}`,
      });
  }
  for (const { name, spec, origin } of declared) {
    const problem = problemWith({ name, trustDomain: spec.trustDomain }, trustDomain, peers);
    if (problem === undefined) {
      peers.set(name, peerOf(name, spec));
      continue;
    }
    const message = `the document at ${formatOrigin(origin)} is not used: ${problem}`;
    conditions.push({ resource: `Peer/${name}`, type: 'PeerRefused', message, origin });
  }
  return { peers, conditions };
}

function problemWith(
  candidate: { readonly name: string; readonly trustDomain: TrustDomain },
  own: TrustDomain,
  peers: ReadonlyMap<string, SnapshotPeer>,
): string | undefined {
  const { name, trustDomain } = candidate;
  if (name === SELF_PEER) return `${SELF_PEER} stands for our own mesh in rules, so no peer may be called so`;
  if (trustDomain === own) return `${own} is our own trust domain`;
  const known = peers.get(name);
  if (known !== undefined && known.trustDomain !== trustDomain) {
    return `${name} is registered with trust domain ${known.trustDomain}, found ${trustDomain}; remove that peer first`;
  }
  for (const other of peers.values()) {
    if (other.trustDomain === trustDomain && other.name !== name) {
      return `trust domain ${trustDomain} is registered already, as peer ${other.name}`;
    }
  }
  return undefined;
}

function peerOf(name: string, from: Omit<SnapshotPeer, 'name'>): SnapshotPeer {
  const gateways = from.gateways.map(({ host, port }) => ({ host, port }));
  return { name, trustDomain: from.trustDomain, gatewayId: from.gatewayId, gateways };
}
