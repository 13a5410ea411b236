/** Which chains are links' ends: exactly the gateway IDs of registered peers, each by its own bundle. */
import { distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type Verification, type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';

/** A chain to be judged, and when. `role` is the presenter's. */
export interface PresentedChain {
  readonly chain: readonly Uint8Array[];
  readonly role: 'client' | 'server';
  readonly nowMs: number;
}

/** Verifies a chain as that of some registered peer's gateway, which is not quarantined. */
export function verifyPeerGateway(snapshot: Snapshot, presented: PresentedChain): Verification {
  const verdict = verifySvid({ ...presented, trust: snapshot });
  if (verdict.kind === 'rejected') return verdict;
  const peer = peerOf(snapshot, verdict);
  if (peer === undefined) {
    const message = `expected the gateway ID of a registered peer, found ${verdict.id}`;
    return { kind: 'rejected', code: 'not-a-peer-gateway', message };
  }
  if (!isQuarantined(snapshot, peer)) return verdict;
  return { kind: 'rejected', code: 'quarantined', message: `peer ${peer.name} (${verdict.id}) is quarantined here` };
}

/** Verifies a chain as that of this peer's gateway. */
export function verifyGatewayOf(snapshot: Snapshot, peer: string, presented: PresentedChain): Verification {
  const verdict = verifyPeerGateway(snapshot, presented);
  if (verdict.kind === 'rejected' || peerOf(snapshot, verdict)?.name === peer) return verdict;
  const expected = snapshot.peers.get(peer)?.gatewayId ?? 'a registered peer';
  return { kind: 'rejected', code: 'other-peer', message: `expected ${expected}, found ${verdict.id}` };
}

/** Whether nothing may be exchanged with the gateways of a peer, whatever their keys. */
export function isQuarantined({ distrust }: Snapshot, peer: SnapshotPeer): boolean {
  return distrust.peers.has(peer.name) || distrustsId(distrust, peer.gatewayId);
}

/** The peer whose gateway this is. */
export function peerOf(snapshot: Snapshot, identity: VerifiedIdentity): SnapshotPeer | undefined {
  for (const peer of snapshot.peers.values()) {
    if (peer.gatewayId === identity.id && peer.trustDomain === identity.trustDomain) return peer;
  }
  return undefined;
}
