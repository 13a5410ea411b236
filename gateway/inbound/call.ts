/** A call of a peer that came over a link: caller, loop guard, export, policy, service. */
import { type Clock } from '../../base/clock.ts';
import { type SnapshotPeer, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { callDeadline, entryProblem, type EntryPoint, openLeg } from '../forward/entry.ts';
import { type IncomingCall } from '../forward/exchange.ts';
import { refuseLeg } from '../forward/leg.ts';
import { toExport } from '../forward/to-export.ts';
import { forwardedFromLink } from '../headers/forwarded.ts';
import { hopsProblem, readLinkCaller } from '../headers/identity.ts';
import { matchExport } from '../routing/match.ts';
import { type ServicePools } from '../routing/service-pool.ts';
import { type CallSink } from '../telemetry/call-record.ts';

/** What inbound calls need. */
export interface InboundDeps {
  readonly snapshots: SnapshotSource;
  readonly services: ServicePools;
  readonly clock: Clock;
  readonly sink: CallSink;
}

/** The link that a call came over: its peer, and the identity that its gateway proved. */
export interface InboundLink {
  readonly peer: SnapshotPeer;
  readonly identity: VerifiedIdentity;
}

const ENTRY: EntryPoint = { direction: 'inbound', listener: 'jump', audience: 'trusted', from: 'link' };

/** Answers the call; resolves at its end and never rejects. */
export async function inboundCall(call: IncomingCall, link: InboundLink, deps: InboundDeps): Promise<void> {
  const { peer, identity } = link;
  const leg = openLeg(call, ENTRY, deps);
  leg.record.find({ peer: peer.name, gateway: identity.id });
  const snapshot = deps.snapshots.current();
  const problem = entryProblem(call) ?? hopsProblem(call.headers, snapshot.trustDomain);
  if (problem !== undefined) {
    refuseLeg(leg, problem, 'denial');
    return;
  }
  // The domain that the link proved, not the one that the peer's row says: they are the same, and this one is the proof.
  const caller = readLinkCaller(call.headers, identity.trustDomain);
  if (caller.kind === 'refused') {
    refuseLeg(leg, caller.reason, 'denial');
    return;
  }
  leg.record.find({ caller: caller.id });
  using deadline = callDeadline(call, ENTRY, deps.clock);
  if (deadline === undefined) {
    refuseLeg(leg, 'deadline-malformed', 'denial');
    return;
  }
  await toExport(leg, {
    snapshot,
    exported: matchExport(snapshot, call.authority),
    caller: caller.id,
    peer: peer.name,
    services: deps.services,
    deadline,
    forwarded: forwardedFromLink(call.headers),
  });
}
