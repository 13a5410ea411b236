/** What becomes of connections to one import: its state, our own policy, the way to the peer. */
import { decideImport } from '../../federation/policy/decide.ts';
import { type Permit } from '../../federation/policy/verdict.ts';
import { type SnapshotImport, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { BudgetHandle, type CallerBudgets } from '../forward/caller-budget.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { Subjects } from '../forward/subjects.ts';
import { type View, type Views } from '../forward/view.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { CallSubject } from '../telemetry/call-subject.ts';

/** Callers of one listener that are remembered. */
const CALLERS_MAX = 10_000;

/** RFC 9110 §9.3.6 wants a port in a CONNECT. It says nothing here: the exporter knows where its services are. */
const PORT = 443;

const METHOD = field(':method', 'CONNECT');
const NO_PATH = field(':path', '');
const SCHEME = field(':scheme', 'https');

/** The way is open. */
export interface EntryAdmission {
  readonly kind: 'admission';
  /** Proof that policy admitted the connection. */
  readonly permit: Permit;
  readonly subject: CallSubject;
  /** Names that a ClientHello may ask for; `undefined` for a service of any bytes. */
  readonly serverNames: readonly string[] | undefined;
  readonly head: RequestHead;
  readonly peer: string;
  readonly links: PeerLinks;
  /** What the caller may cost these links. */
  readonly budget: BudgetHandle;
  /** Why policy would not admit it where it went any more, or `undefined`. */
  readonly review: () => ReasonCode | undefined;
  /** The reason when there is no link. */
  readonly unreachable: ReasonCode;
}

/** The connection is refused. `error`: policy admitted it, and something is not there. */
export interface EntryRefusal {
  readonly kind: 'refusal';
  readonly reason: ReasonCode;
  readonly verdict: 'denial' | 'error';
  readonly subject: CallSubject;
}

/** Outcome of judging a connection. */
export type EntryJudgement = EntryAdmission | EntryRefusal;

/** What plans are made of. */
export interface EntryPlanOptions {
  /** Name of the import. */
  readonly imported: string;
  /** The listener, as the log names it. */
  readonly listener: string;
  readonly views: Views;
  readonly links: PeerLinks;
  readonly budgets: CallerBudgets;
}

/** Judges the connections of one listener: once per caller, for as long as the snapshot stands. */
export class EntryPlan {
  readonly #options: EntryPlanOptions;
  readonly #judged = new Map<SpiffeId, EntryJudgement>();
  #view: View;

  constructor(options: EntryPlanOptions) {
    this.#options = options;
    this.#view = options.views.current();
  }

  /** Judges a connection of `caller`. */
  judge(caller: SpiffeId): EntryJudgement {
    const view = this.#options.views.current();
    if (view !== this.#view || this.#judged.size >= CALLERS_MAX) this.#judged.clear();
    this.#view = view;
    const known = this.#judged.get(caller);
    if (known !== undefined) return known;
    const judgement = this.#decide(caller);
    this.#judged.set(caller, judgement);
    return judgement;
  }

  #decide(caller: SpiffeId): EntryJudgement {
    const { snapshot } = this.#view;
    const { listener } = this.#options;
    const imported = snapshot.imports.get(this.#options.imported);
    if (imported === undefined) {
      const subject = new CallSubject({ direction: 'outbound', listener, caller, import: this.#options.imported });
      return { kind: 'refusal', reason: 'no-route', verdict: 'denial', subject };
    }
    const peer = snapshot.peers.get(imported.peer);
    const subjects = new Subjects({
      direction: 'outbound',
      listener,
      caller,
      import: imported.name,
      export: imported.export,
      peer: imported.peer,
      gateway: peer?.gatewayId,
    });
    const verdict = decideImport({ imported, caller, distrust: snapshot.distrust, call: { kind: 'connection' } });
    if (verdict.kind === 'denial') {
      const subject = subjects.of(undefined, verdict.origin ?? imported.origin);
      return { kind: 'refusal', reason: verdict.reason, verdict: 'denial', subject };
    }
    const subject = subjects.of(verdict.rule, verdict.origin);
    const reason = stateProblem(imported, peer);
    if (reason !== undefined || peer === undefined) {
      return { kind: 'refusal', reason: reason ?? 'peer-unavailable', verdict: 'error', subject };
    }
    return { ...this.#way(imported, peer, caller), permit: verdict, subject };
  }

  /** Judges a connection of `caller` again that went to `authority` of `peer`. */
  #review(caller: SpiffeId, authority: Field, peer: SnapshotPeer): ReasonCode | undefined {
    const judged = this.judge(caller);
    if (judged.kind === 'refusal') return judged.verdict === 'denial' ? judged.reason : undefined;
    const isSame = judged.peer === peer.name && judged.head.authority.value === authority.value;
    return isSame ? undefined : 'no-route';
  }

  #way(imported: SnapshotImport, peer: SnapshotPeer, caller: SpiffeId): Omit<EntryAdmission, 'permit' | 'subject'> {
    const { trustDomain } = this.#view.snapshot;
    const authority = field(':authority', `${imported.export}.${peer.trustDomain}:${PORT}`);
    const fields = [field('jumpgate-caller', caller), field('jumpgate-hops', trustDomain)];
    return {
      kind: 'admission',
      serverNames: imported.protocol === 'tls' ? imported.serverNames : undefined,
      head: { method: METHOD, path: NO_PATH, authority, scheme: SCHEME, protocol: undefined, fields },
      peer: peer.name,
      links: this.#options.links,
      review: () => this.#review(caller, authority, peer),
      budget: new BudgetHandle(this.#options.budgets, peer.name, caller),
      unreachable: imported.state === 'stale' ? 'import-stale' : 'peer-unavailable',
    };
  }
}

/** Why nobody may go there yet, or any more. A service whose protocol is not known is not tried: it might not be of connections. */
function stateProblem(imported: SnapshotImport, peer: SnapshotPeer | undefined): ReasonCode | undefined {
  if (imported.state === 'withdrawn') return 'import-withdrawn';
  if (imported.state === 'awaiting' || imported.protocol === undefined) return 'import-awaiting';
  return peer === undefined ? 'peer-unavailable' : undefined;
}
