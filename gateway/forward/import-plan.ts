/** What becomes of calls to one import by one caller: its state, our own policy, the way to the peer. */
import { importPolicy, type Policy } from '../../federation/policy/decide.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type Snapshot, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type RequestFields } from '../headers/request-fields.ts';
import { type RequestHead } from '../message/head.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { normaliseHost } from '../routing/match.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type CallLimits, callLimits } from './call-limits.ts';
import { type CallerBudgets } from './caller-budget.ts';
import { type EntryPoint } from './entry-point.ts';
import { denialIn, judge, type Judge, type JudgedCall, type Judgement } from './judgement.ts';
import { PeerDestination, type PeerLinks } from './peer-destination.ts';
import { Subjects } from './subjects.ts';
import { type View } from './view.ts';

/** What a plan is made of. */
export interface ImportPlanOptions {
  readonly snapshot: Snapshot;
  readonly imported: SnapshotImport;
  readonly caller: SpiffeId;
  readonly entry: EntryPoint;
  /** Those of the listener. */
  readonly limits: Limits;
  readonly links: PeerLinks;
  readonly budgets: CallerBudgets;
}

/** One caller's plan for one import, for as long as the snapshot stands. */
export class ImportPlan implements Judge {
  readonly limits: CallLimits;
  readonly #options: ImportPlanOptions;
  readonly #subjects: Subjects;
  readonly #policy: Policy;
  readonly #destination: PeerDestination | undefined;
  /** Of the view that was asked for last. */
  #successor: ImportPlan | undefined;

  constructor(options: ImportPlanOptions) {
    const { snapshot, imported, caller, entry, links, budgets } = options;
    const peer = snapshot.peers.get(imported.peer);
    this.#options = options;
    this.limits = callLimits(options.limits);
    this.#policy = importPolicy({ imported, caller, distrust: snapshot.distrust });
    this.#subjects = new Subjects({
      direction: entry.direction,
      listener: entry.listener,
      caller,
      import: imported.name,
      export: imported.export,
      peer: imported.peer,
      gateway: peer?.gatewayId,
    });
    const isReachable = imported.state === 'active' || imported.state === 'stale';
    if (peer !== undefined && isReachable) {
      const { trustDomain } = snapshot;
      this.#destination = new PeerDestination({ peer, imported, caller, trustDomain, links, budgets });
    }
  }

  /** Of calls refused before policy was asked. */
  get unjudged(): CallSubject {
    return this.#subjects.of(undefined, this.#options.imported.origin);
  }

  refusedUnder(view: View, head: RequestHead, read: RequestFields): ReasonCode | undefined {
    const successor = this.#under(view, head);
    return successor === undefined ? 'no-route' : denialIn(judge(successor, head, read));
  }

  /** The plan by which a call with this head would go the same way, if it still would. */
  #under(view: View, head: RequestHead): ImportPlan | undefined {
    const { entry, imported } = this.#options;
    const host = normaliseHost(head.authority.value) ?? '';
    const found = entry.direction === 'edge' ? view.importBehind(entry.listener, host, head) : view.imports.get(host);
    if (found === undefined || found.peer !== imported.peer || found.export !== imported.export) return undefined;
    const { snapshot } = view;
    const known = this.#successor;
    if (known !== undefined && known.#options.snapshot === snapshot && known.#options.imported === found) return known;
    this.#successor = new ImportPlan({ ...this.#options, snapshot, imported: found });
    return this.#successor;
  }

  decide({ method, path, grpc }: JudgedCall): Judgement {
    const { imported } = this.#options;
    const verdict = this.#policy({ kind: 'call', method, path, grpc: grpc && method === 'POST' });
    if (verdict.kind === 'denial') {
      const subject = this.#subjects.of(undefined, verdict.origin ?? imported.origin);
      return { kind: 'refusal', reason: verdict.reason, verdict: 'denial', subject };
    }
    const subject = this.#subjects.of(verdict.rule, verdict.origin);
    const destination = this.#destination;
    if (destination !== undefined) return { kind: 'admission', permit: verdict, subject, destination };
    const reason = imported.state === 'withdrawn' ? 'import-withdrawn' : 'import-awaiting';
    return { kind: 'refusal', reason, verdict: 'error', subject };
  }
}
