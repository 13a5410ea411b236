/** The calls of a local workload: host, import, policy, link. */
import { type Limits } from '../../federation/resources/limits.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type CallHost } from '../forward/call-host.ts';
import { enter, enterRefused, type Entering, refuseEarly } from '../forward/enter.ts';
import { type EntryPoint } from '../forward/entry-point.ts';
import { ImportPlan } from '../forward/import-plan.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { type View, type Views } from '../forward/view.ts';
import { headProblem } from '../headers/head-problem.ts';
import { readRequestFields } from '../headers/request-fields.ts';
import { Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field, fieldName } from '../message/names.ts';
import { type EarlyReason, type RequestListener, type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { isReservedHost, normaliseHost } from '../routing/match.ts';
import { callerHttp1 } from '../socket/connection-limits.ts';
import { CallSubject } from '../telemetry/call-subject.ts';

/** Spellings of hosts that are remembered per connection: case, port and final dot make several of one. */
const SPELLINGS_MAX = 4_096;

/** What outbound calls need. */
export interface OutboundDeps {
  readonly views: Views;
  readonly links: PeerLinks;
  readonly host: CallHost;
}

/** Who calls, and where. */
export interface OutboundCaller {
  readonly caller: SpiffeId;
  readonly listener: string;
  readonly protocol: 'http1' | 'http2';
  readonly scheme: 'http' | 'https';
  /** Those of the listener. */
  readonly limits: Limits;
}

/** A plan with the field that tells the peer what the caller asked for. */
interface Asked {
  readonly plan: ImportPlan;
  readonly forwardedHost: Field;
}

const FORWARDED_HOST = fieldName('x-forwarded-host');

/** Takes the calls of one connection. */
export class OutboundCalls implements RequestListener {
  readonly #deps: OutboundDeps;
  readonly #from: OutboundCaller;
  readonly #entry: EntryPoint;
  readonly #unrouted: CallSubject;
  readonly #scheme: Field;
  #view: View;
  /** By authority as written. */
  readonly #asked = new Map<string, Asked>();

  constructor(deps: OutboundDeps, from: OutboundCaller) {
    const { caller, listener } = from;
    this.#deps = deps;
    this.#from = from;
    this.#entry = { direction: 'outbound', listener, audience: 'trusted', from: 'caller' };
    this.#unrouted = new CallSubject({ direction: 'outbound', listener, caller });
    this.#scheme = field('x-forwarded-proto', from.scheme);
    this.#view = deps.views.current();
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const { host } = this.#deps;
    this.#refresh();
    const read = readRequestFields(head);
    const entering: Entering = { stream, head, read, end, entry: this.#entry };
    const problem = headProblem(head, read);
    if (problem !== undefined) return enterRefused(host, entering, this.#unrouted, problem);
    const asked = this.#asked.get(head.authority.value) ?? this.#lookUp(head.authority.value);
    if (typeof asked === 'string') return enterRefused(host, entering, this.#unrouted, asked);
    // What the caller said under these names was removed; this is what the gateway says.
    read.forwardedHost = asked.forwardedHost;
    read.forwardedProto = this.#scheme;
    read.forwardedFor = undefined;
    return enter(host, entering, asked.plan);
  }

  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    const { protocol } = this.#from;
    const limits = callerHttp1(this.#from.limits);
    refuseEarly(this.#deps.host, this.#entry, this.#unrouted, { reason, head, stream, protocol, limits });
  }

  #refresh(): void {
    const view = this.#deps.views.current();
    if (view === this.#view) return;
    this.#view = view;
    this.#asked.clear();
  }

  #lookUp(authority: string): Asked | ReasonCode {
    const name = normaliseHost(authority);
    if (name === undefined) return 'authority-malformed';
    if (isReservedHost(name)) return 'authority-reserved';
    const { snapshot, imports } = this.#view;
    const imported = imports.get(name);
    if (imported === undefined) return 'no-route';
    const { caller, limits } = this.#from;
    const { host, links } = this.#deps;
    const budgets = host.budgets.outbound;
    const plan = new ImportPlan({ snapshot, imported, caller, entry: this.#entry, limits, links, budgets });
    const asked = { plan, forwardedHost: new Field(FORWARDED_HOST, authority) };
    if (this.#asked.size >= SPELLINGS_MAX) this.#asked.clear();
    this.#asked.set(authority, asked);
    return asked;
  }
}
