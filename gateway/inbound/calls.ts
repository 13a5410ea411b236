/** The calls of a peer over one link: caller, loop guard, export, policy, service. */
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId, trustDomainOf, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type CallHost } from '../forward/call-host.ts';
import { enter, enterRefused, type Entering, refuseEarly } from '../forward/enter.ts';
import { type EntryPoint } from '../forward/entry-point.ts';
import { ExportPlan } from '../forward/export-plan.ts';
import { type Services } from '../forward/service-destination.ts';
import { type View, type Views } from '../forward/view.ts';
import { keepForwarded } from '../headers/forwarded.ts';
import { headProblem, tunnelProblem } from '../headers/head-problem.ts';
import { hopsProblem } from '../headers/hops.ts';
import { readRequestFields } from '../headers/request-fields.ts';
import { type RequestHead } from '../message/head.ts';
import { type EarlyReason, type RequestListener, type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { matchExport } from '../routing/match.ts';
import { linkHttp2 } from '../socket/connection-limits.ts';
import { CallSubject } from '../telemetry/call-subject.ts';
import { type InboundTunnels } from './tunnels.ts';

/** Callers of one link that are remembered: the workloads of a mesh that call at one time. */
const CALLERS_MAX = 10_000;

/** What inbound calls need. */
export interface InboundDeps {
  readonly views: Views;
  readonly services: Services;
  readonly host: CallHost;
  readonly tunnels: InboundTunnels;
}

/** The link that calls come over: its peer, and the identity that its gateway proved. */
export interface InboundLink {
  readonly peer: SnapshotPeer;
  readonly identity: VerifiedIdentity;
}

const ENTRY: EntryPoint = { direction: 'inbound', listener: 'jump', audience: 'trusted', from: 'link' };

/** A caller as the peer's gateway named it, with the plans of what it calls. */
interface KnownCaller {
  readonly id: SpiffeId;
  /** Of calls for exports that are not there. */
  readonly unrouted: CallSubject;
  /** By authority; as many as there are exports. */
  readonly plans: Map<string, ExportPlan>;
}

/** Takes the calls of one link. */
export class InboundCalls implements RequestListener {
  readonly #deps: InboundDeps;
  readonly #link: InboundLink;
  readonly #anonymous: CallSubject;
  #view: View;
  readonly #callers = new Map<string, KnownCaller>();
  /** The hops that were found in order last: on a direct link always the same. */
  #goodHops: string | undefined;

  constructor(deps: InboundDeps, link: InboundLink) {
    this.#deps = deps;
    this.#link = link;
    this.#anonymous = this.#subjectOf(undefined);
    this.#view = deps.views.current();
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const { host } = this.#deps;
    const { snapshot } = this.#refresh();
    const read = readRequestFields(head);
    const entering: Entering = { stream, head, read, end, entry: ENTRY };
    const isTunnel = head.method.value === 'CONNECT' && head.protocol === undefined;
    const headIs = isTunnel ? tunnelProblem(read) : headProblem(head, read);
    const problem = headIs ?? this.#hopsProblem(read.linkHops);
    if (problem !== undefined) return enterRefused(host, entering, this.#anonymous, problem);
    const name = read.linkCaller?.value ?? '';
    const caller = this.#callers.get(name) ?? this.#meet(name);
    if (typeof caller === 'string') return enterRefused(host, entering, this.#anonymous, caller);
    if (isTunnel) return this.#tunnel(entering, caller.id, snapshot);
    const plan = caller.plans.get(head.authority.value) ?? this.#planFor(caller, head.authority.value);
    if (plan === undefined) return enterRefused(host, entering, caller.unrouted, 'no-route');
    keepForwarded(read);
    return enter(host, entering, plan);
  }

  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    const limits = linkHttp2(this.#view.snapshot.limits);
    refuseEarly(this.#deps.host, ENTRY, this.#anonymous, { reason, head, stream, protocol: 'http2', limits });
  }

  #tunnel({ stream, head, end }: Entering, caller: SpiffeId, snapshot: Snapshot): StreamReceiver {
    const { peer, identity } = this.#link;
    return this.#deps.tunnels.open({ stream, head, end, caller, peer: peer.name, gateway: identity.id, snapshot });
  }

  #refresh(): View {
    const view = this.#deps.views.current();
    if (view !== this.#view) {
      this.#view = view;
      this.#callers.clear();
      this.#goodHops = undefined;
    }
    return view;
  }

  #hopsProblem(hops: string | undefined): ReasonCode | undefined {
    if (hops === this.#goodHops) return undefined;
    const problem = hopsProblem(hops, this.#view.snapshot.trustDomain);
    if (problem === undefined) this.#goodHops = hops;
    return problem;
  }

  /** The link proves which gateway speaks, so it is believed about callers of its own trust domain only. */
  #meet(name: string): KnownCaller | ReasonCode {
    const id = name === '' ? undefined : trySpiffeId(name);
    if (id === undefined) return 'caller-missing';
    // The domain that the link proved, not the one that the peer's row says: they are the same, and this one is the proof.
    if (trustDomainOf(id) !== this.#link.identity.trustDomain) return 'caller-foreign';
    const caller = { id, unrouted: this.#subjectOf(id), plans: new Map<string, ExportPlan>() };
    if (this.#callers.size >= CALLERS_MAX) this.#callers.clear();
    this.#callers.set(name, caller);
    return caller;
  }

  #planFor(caller: KnownCaller, authority: string): ExportPlan | undefined {
    const { snapshot } = this.#view;
    const exported = matchExport(snapshot, authority);
    if (exported === undefined) return undefined;
    const { peer, identity } = this.#link;
    const { host, services } = this.#deps;
    const from = { caller: caller.id, peer: peer.name, gateway: identity.id };
    const { limits } = snapshot;
    const budgets = host.budgets.inbound;
    const plan = new ExportPlan({ snapshot, exported, ...from, entry: ENTRY, limits, services, budgets });
    caller.plans.set(authority, plan);
    return plan;
  }

  #subjectOf(caller: SpiffeId | undefined): CallSubject {
    const { peer, identity } = this.#link;
    const { direction, listener } = ENTRY;
    return new CallSubject({ direction, listener, caller, peer: peer.name, gateway: identity.id });
  }
}
