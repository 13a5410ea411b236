/** A call for an import, from an outbound listener or an edge: its state, our own policy, then the leg to the peer. */
import { decideImport } from '../../federation/policy/decide.ts';
import { type Snapshot, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type Deadline } from './deadline.ts';
import { type HeaderField } from './exchange.ts';
import { factsOf, type Leg, refuseLeg } from './leg.ts';
import { type PeerLinks, toPeer } from './to-peer.ts';

/** What the call is for, and on whose behalf. */
export interface ImportTarget {
  readonly snapshot: Snapshot;
  readonly imported: SnapshotImport;
  readonly caller: SpiffeId;
  readonly links: PeerLinks;
  readonly deadline: Deadline;
  readonly forwarded: readonly HeaderField[];
}

/** Decides and sends. */
export async function toImport(leg: Leg, target: ImportTarget): Promise<void> {
  const { imported, caller, snapshot } = target;
  const peer = snapshot.peers.get(imported.peer);
  leg.record.find({
    caller,
    import: imported.name,
    export: imported.export,
    peer: imported.peer,
    gateway: peer?.gatewayId,
    origin: imported.origin,
  });
  const verdict = decideImport({ imported, caller, call: factsOf(leg.call) });
  if (verdict.kind === 'denial') {
    if (verdict.origin !== undefined) leg.record.find({ origin: verdict.origin });
    refuseLeg(leg, verdict.reason, 'denial');
    return;
  }
  leg.record.find({ rule: verdict.rule, origin: verdict.origin, verdict: 'permit' });
  if (imported.state === 'withdrawn') {
    refuseLeg(leg, 'import-withdrawn', 'error');
  } else if (imported.state === 'awaiting' || peer === undefined) {
    refuseLeg(leg, 'import-awaiting', 'error');
  } else {
    await toPeer(leg, { ...target, permit: verdict, peer, trustDomain: snapshot.trustDomain });
  }
}
