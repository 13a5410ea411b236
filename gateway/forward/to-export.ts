/** A call for one of our own exports, from a link or an edge: the export's policy, then the leg to the service. */
import { decideExport } from '../../federation/policy/decide.ts';
import { type Snapshot, type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type ServicePools } from '../routing/service-pool.ts';
import { type Deadline } from './deadline.ts';
import { type HeaderField } from './exchange.ts';
import { factsOf, type Leg, refuseLeg } from './leg.ts';
import { toService } from './to-service.ts';

/** What the call is for, and on whose behalf. */
export interface ExportTarget {
  readonly snapshot: Snapshot;
  /** `undefined` when no export has the name. */
  readonly exported: SnapshotExport | undefined;
  readonly caller: SpiffeId;
  /** Name of the peer, or `self`. */
  readonly peer: string;
  readonly services: ServicePools;
  readonly deadline: Deadline;
  readonly forwarded: readonly HeaderField[];
}

/** Decides and sends. An export that is hidden from the peer gets the very answer of one that does not exist. */
export async function toExport(leg: Leg, target: ExportTarget): Promise<void> {
  const { exported, caller, peer, snapshot } = target;
  leg.record.find({ caller, peer });
  if (exported === undefined) {
    refuseLeg(leg, 'no-route', 'denial');
    return;
  }
  leg.record.find({ export: exported.name });
  const verdict = decideExport({ exported, caller, peer, call: factsOf(leg.call) });
  if (verdict.kind === 'denial') {
    leg.record.find({ origin: verdict.origin ?? exported.origin });
    refuseLeg(leg, verdict.visible ? verdict.reason : 'no-route', 'denial');
    return;
  }
  leg.record.find({ rule: verdict.rule, origin: verdict.origin, verdict: 'permit' });
  await toService(leg, { ...target, exported, permit: verdict, gatewayId: snapshot.gatewayId });
}
