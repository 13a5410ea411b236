/** A call of a local workload: host, import, policy, link. */
import { type Clock } from '../../base/clock.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { askedHost, callDeadline, entryProblem, type EntryPoint, openLeg } from '../forward/entry.ts';
import { type IncomingCall } from '../forward/exchange.ts';
import { refuseLeg } from '../forward/leg.ts';
import { toImport } from '../forward/to-import.ts';
import { type PeerLinks } from '../forward/to-peer.ts';
import { forwardedAtEntry } from '../headers/forwarded.ts';
import { matchImport } from '../routing/match.ts';
import { type CallSink } from '../telemetry/call-record.ts';

/** What outbound calls need. */
export interface OutboundDeps {
  readonly snapshots: SnapshotSource;
  readonly links: PeerLinks;
  readonly clock: Clock;
  readonly sink: CallSink;
}

/** Where calls of local workloads enter. */
export function outboundEntry(listener: string): EntryPoint {
  return { direction: 'outbound', listener, audience: 'trusted', from: 'caller' };
}

/** Answers the call; resolves at its end and never rejects. */
export async function outboundCall(
  call: IncomingCall,
  from: { readonly caller: SpiffeId; readonly listener: string },
  deps: OutboundDeps,
): Promise<void> {
  const entry = outboundEntry(from.listener);
  const leg = openLeg(call, entry, deps);
  leg.record.find({ caller: from.caller });
  const problem = entryProblem(call);
  if (problem !== undefined) {
    refuseLeg(leg, problem, 'denial');
    return;
  }
  const asked = askedHost(call);
  if ('reason' in asked) {
    refuseLeg(leg, asked.reason, 'denial');
    return;
  }
  const snapshot = deps.snapshots.current();
  const imported = matchImport(snapshot, asked.host);
  if (imported === undefined) {
    refuseLeg(leg, 'no-route', 'denial');
    return;
  }
  using deadline = callDeadline(call, entry, deps.clock);
  if (deadline === undefined) {
    refuseLeg(leg, 'deadline-malformed', 'denial');
    return;
  }
  const { caller } = from;
  await toImport(leg, { snapshot, imported, caller, links: deps.links, deadline, forwarded: forwardedAtEntry(call) });
}
