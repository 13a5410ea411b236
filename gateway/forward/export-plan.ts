/** What becomes of calls to one of our exports by one caller: the export's policy, the way to the service. */
import { exportPolicy, type Policy } from '../../federation/policy/decide.ts';
import { type Snapshot, type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type EntryPoint } from './entry-point.ts';
import { type Judge, type JudgedCall, type Judgement } from './judgement.ts';
import { ServiceDestination, type Services } from './service-destination.ts';
import { Subjects } from './subjects.ts';

/** What a plan is made of. */
export interface ExportPlanOptions {
  readonly snapshot: Snapshot;
  readonly exported: SnapshotExport;
  readonly caller: SpiffeId;
  /** Name of the peer, or `self`. */
  readonly peer: string;
  /** Gateway ID of the peer. */
  readonly gateway?: string | undefined;
  readonly entry: EntryPoint;
  readonly services: Services;
}

/** One caller's plan for one export, for as long as the snapshot stands. */
export class ExportPlan implements Judge {
  readonly #options: ExportPlanOptions;
  readonly #subjects: Subjects;
  readonly #policy: Policy;
  readonly #destination: ServiceDestination;

  constructor(options: ExportPlanOptions) {
    const { snapshot, exported, caller, peer, gateway, entry, services } = options;
    const { direction, listener } = entry;
    this.#options = options;
    this.#policy = exportPolicy({ exported, caller, peer });
    this.#subjects = new Subjects({ direction, listener, caller, peer, gateway, export: exported.name });
    this.#destination = new ServiceDestination({ exported, caller, gatewayId: snapshot.gatewayId, services });
  }

  /** Of calls refused before policy was asked. */
  get unjudged(): CallSubject {
    return this.#subjects.of(undefined, undefined);
  }

  decide({ method, path, grpc }: JudgedCall): Judgement {
    const { exported } = this.#options;
    const verdict = this.#policy({ kind: 'call', method, path, grpc: grpc && method === 'POST' });
    if (verdict.kind === 'denial') {
      const subject = this.#subjects.of(undefined, verdict.origin ?? exported.origin);
      // An export that is hidden from the peer gets the very answer of one that does not exist.
      return { kind: 'refusal', reason: verdict.visible ? verdict.reason : 'no-route', verdict: 'denial', subject };
    }
    const subject = this.#subjects.of(verdict.rule, verdict.origin);
    if (exported.protocol === 'http1' && grpc) {
      return { kind: 'refusal', reason: 'protocol-mismatch', verdict: 'error', subject };
    }
    return { kind: 'admission', permit: verdict, subject, destination: this.#destination };
  }
}
