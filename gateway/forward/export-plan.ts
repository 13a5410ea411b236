/** What becomes of calls to one of our exports by one caller: the export's policy, the way to the service. */
import { exportPolicy, type Policy } from '../../federation/policy/decide.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type Snapshot, type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type RequestFields } from '../headers/request-fields.ts';
import { type RequestHead } from '../message/head.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { matchExport, normaliseHost } from '../routing/match.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type CallLimits, callLimits } from './call-limits.ts';
import { BudgetHandle, type CallerBudgets } from './caller-budget.ts';
import { type EntryPoint } from './entry-point.ts';
import { denialIn, judge, type Judge, type JudgedCall, type Judgement } from './judgement.ts';
import { ServiceDestination, type Services } from './service-destination.ts';
import { Subjects } from './subjects.ts';
import { type View } from './view.ts';

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
  /** Those of the listener. */
  readonly limits: Limits;
  readonly services: Services;
  /** Of calls that come over links. */
  readonly budgets?: CallerBudgets | undefined;
}

/** One caller's plan for one export, for as long as the snapshot stands. */
export class ExportPlan implements Judge {
  readonly limits: CallLimits;
  readonly #options: ExportPlanOptions;
  readonly #subjects: Subjects;
  readonly #policy: Policy;
  readonly #destination: ServiceDestination;
  /** Of the view that was asked for last. */
  #successor: ExportPlan | undefined;

  constructor(options: ExportPlanOptions) {
    const { snapshot, exported, caller, peer, gateway, entry, services } = options;
    const { direction, listener } = entry;
    const budget = options.budgets && new BudgetHandle(options.budgets, peer, caller);
    this.#options = options;
    this.limits = callLimits(options.limits, exported.limits);
    this.#policy = exportPolicy({ exported, caller, peer, distrust: snapshot.distrust });
    this.#subjects = new Subjects({ direction, listener, caller, peer, gateway, export: exported.name });
    this.#destination = new ServiceDestination({ exported, caller, gatewayId: snapshot.gatewayId, services, budget });
  }

  /** Of calls refused before policy was asked. */
  get unjudged(): CallSubject {
    return this.#subjects.of(undefined, undefined);
  }

  refusedUnder(view: View, head: RequestHead, read: RequestFields): ReasonCode | undefined {
    const successor = this.#under(view, head);
    return successor === undefined ? 'no-route' : denialIn(judge(successor, head, read));
  }

  /** The plan by which a call with this head would go the same way, if it still would. */
  #under(view: View, head: RequestHead): ExportPlan | undefined {
    const { entry, exported } = this.#options;
    const { snapshot } = view;
    const authority = head.authority.value;
    const found =
      entry.direction === 'edge'
        ? view.exportBehind(entry.listener, normaliseHost(authority) ?? '', head)
        : matchExport(snapshot, authority);
    if (found?.name !== exported.name) return undefined;
    const known = this.#successor;
    if (known !== undefined && known.#options.snapshot === snapshot) return known;
    this.#successor = new ExportPlan({ ...this.#options, snapshot, exported: found });
    return this.#successor;
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
