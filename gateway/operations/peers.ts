/** What the admin API tells of peers, exports, imports and links: views of the snapshot with what the supervisor and the links know. */
import { formatOrigin } from '../../base/origin.ts';
import { exportedTo } from '../../federation/catalogue/exported.ts';
import { type PeeringStatus } from '../../federation/peering/status.ts';
import { type PresentedInvite } from '../../federation/peering/invites.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { type Snapshot, type SnapshotExport, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type ExportStatus, type ImportStatus, type LinkStatus, type PeerStatus } from '../admin/operations.ts';

/** What the views ask for beside the snapshot. */
export interface PeerFacts {
  readonly peering: (peer: string) => PeeringStatus | undefined;
  readonly links: readonly LinkStatus[];
  /** Names that YAML declares, and names with a row in the store. */
  readonly declared: ReadonlySet<string>;
  readonly stored: ReadonlySet<string>;
}

/** One peer as status shows it. */
export function peerStatus(snapshot: Snapshot, peer: SnapshotPeer, facts: PeerFacts): PeerStatus {
  const peering = facts.peering(peer.name);
  const bundle = snapshot.bundles.get(peer.trustDomain);
  const count = (direction: LinkStatus['direction']): number =>
    facts.links.filter((link) => link.peer === peer.name && link.direction === direction).length;
  const state = bundle === undefined ? 'awaiting-bundle' : stateOf(peering);
  return {
    name: peer.name,
    trustDomain: peer.trustDomain,
    gatewayId: peer.gatewayId,
    origin: originOf(peer.name, facts),
    state,
    gateways: peer.gateways.map(formatHostPort),
    linksOutbound: count('outbound'),
    linksInbound: count('inbound'),
    bundleSequence: bundle?.sequence === undefined ? null : String(bundle.sequence),
    heartbeatAgeSeconds: peering?.lastHeartbeatMs === undefined ? null : Math.round(peering.lastHeartbeatMs) / 1000,
    message: messageOf(state),
  };
}

/** A mesh that redeemed a held invite, as status shows it. `undefined` for an invite that nobody redeemed. */
export function heldStatus({ row }: PresentedInvite): PeerStatus | undefined {
  const { peer: name, redeemedBy } = row;
  if (row.state !== 'held' || redeemedBy === undefined) return undefined;
  const { trustDomain, gatewayId, addresses, bundle } = redeemedBy;
  const roots = bundle.x509Authorities.map(({ fingerprint }) => fingerprint).join(', ');
  return {
    name,
    trustDomain,
    gatewayId,
    origin: 'joined',
    state: 'awaiting-approval',
    gateways: addresses.map(formatHostPort),
    linksOutbound: 0,
    linksInbound: 0,
    bundleSequence: bundle.sequence === undefined ? null : String(bundle.sequence),
    heartbeatAgeSeconds: null,
    message: `${messageOf('awaiting-approval')}: compare its root ${roots}, then run "jumpgate peers approve ${name}"`,
  };
}

/** One export, with the peers that a rule of it names and those that have applied our catalogue. */
export function exportStatus(snapshot: Snapshot, exported: SnapshotExport, facts: PeerFacts): ExportStatus {
  const peers = [...snapshot.peers.values()].filter((peer) => exportedTo([exported], peer).length > 0);
  const applied = peers.filter(({ name }) => {
    const peering = facts.peering(name);
    const refused = peering?.refusedByPeer.some(({ entry }) => entry === exported.name) ?? false;
    return (
      peering !== undefined && peering.ourVersion > 0n && peering.theirAppliedVersion === peering.ourVersion && !refused
    );
  });
  return {
    name: exported.name,
    protocol: exported.protocol,
    backends: exported.backends.map(formatHostPort),
    peers: peers.map(({ name }) => name),
    acknowledgedBy: applied.map(({ name }) => name),
    origin: formatOrigin(exported.origin),
  };
}

/** The imports. */
export function importStatuses(snapshot: Snapshot): readonly ImportStatus[] {
  return [...snapshot.imports.values()].map((item) => ({
    name: item.name,
    peer: item.peer,
    export: item.export,
    hosts: item.hosts,
    protocol: item.protocol ?? null,
    state: item.state,
    origin: formatOrigin(item.origin),
  }));
}

/** `host:port`, an IPv6 literal in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function stateOf(peering: PeeringStatus | undefined): PeerStatus['state'] {
  if (peering === undefined || peering.state === 'syncing') return 'connecting';
  return peering.state;
}

function originOf(name: string, facts: PeerFacts): PeerStatus['origin'] {
  if (!facts.declared.has(name)) return 'joined';
  return facts.stored.has(name) ? 'adopted' : 'yaml';
}

function messageOf(state: PeerStatus['state']): string | null {
  switch (state) {
    case 'active':
      return null;
    case 'degraded':
      return 'the control stream is open, but the peer does not answer in time';
    case 'connecting':
      return 'no control stream is established yet';
    case 'awaiting-bundle':
      return 'no bundle of this peer is known: join, or give bundle.file';
    case 'awaiting-approval':
      return 'redeemed an invite and waits for approval';
    case 'terminated':
      return 'the peer has removed this mesh';
    default:
      return state satisfies never;
  }
}
