/** A call from outside: host and path choose a Route, and it becomes an east/west call under the edge's own identity. */
import { type Clock } from '../../base/clock.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { edgeCallerId } from '../../trust-bundles/identity/spiffe-id.ts';
import { askedHost, callDeadline, entryProblem, type EntryPoint, openLeg } from '../forward/entry.ts';
import { type IncomingCall } from '../forward/exchange.ts';
import { refuseLeg } from '../forward/leg.ts';
import { toExport } from '../forward/to-export.ts';
import { toImport } from '../forward/to-import.ts';
import { type PeerLinks } from '../forward/to-peer.ts';
import { forwardedAtEntry } from '../headers/forwarded.ts';
import { matchRoute } from '../routing/match.ts';
import { type ServicePools } from '../routing/service-pool.ts';
import { type CallSink } from '../telemetry/call-record.ts';

/** What calls from outside need. */
export interface EdgeDeps {
  readonly snapshots: SnapshotSource;
  readonly links: PeerLinks;
  readonly services: ServicePools;
  readonly clock: Clock;
  readonly sink: CallSink;
}

/** Where calls from outside enter. */
export function edgeEntry(edge: string): EntryPoint {
  return { direction: 'edge', listener: edge, audience: 'stranger', from: 'caller' };
}

/** Answers the call; resolves at its end and never rejects. */
export async function edgeCall(call: IncomingCall, edge: string, deps: EdgeDeps): Promise<void> {
  const entry = edgeEntry(edge);
  const leg = openLeg(call, entry, deps);
  const problem = entryProblem(call);
  const asked = problem === undefined ? askedHost(call) : { reason: problem };
  if ('reason' in asked) {
    refuseLeg(leg, asked.reason, 'denial');
    return;
  }
  const snapshot = deps.snapshots.current();
  const caller = edgeCallerId(snapshot.trustDomain, edge);
  leg.record.find({ caller });
  const route = matchRoute(snapshot.routes, edge, asked.host, call.path);
  using deadline = callDeadline(call, entry, deps.clock);
  if (deadline === undefined) {
    refuseLeg(leg, 'deadline-malformed', 'denial');
    return;
  }
  const forwarded = forwardedAtEntry(call, call.remoteAddress);
  if (route?.to.kind === 'export') {
    const exported = snapshot.exports.get(route.to.name);
    await toExport(leg, { snapshot, exported, caller, peer: 'self', services: deps.services, deadline, forwarded });
    return;
  }
  const imported = route === undefined ? undefined : snapshot.imports.get(route.to.name);
  if (imported === undefined) refuseLeg(leg, 'no-route', 'denial');
  else await toImport(leg, { snapshot, imported, caller, links: deps.links, deadline, forwarded });
}
