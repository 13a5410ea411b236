/** What the connections of one edge share: the plans of its routes, made as they are used. */
import { type Limits } from '../../federation/resources/limits.ts';
import { type SnapshotRoute } from '../../federation/snapshot/snapshot.ts';
import { edgeCallerId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type CallHost } from '../forward/call-host.ts';
import { type Plan } from '../forward/enter.ts';
import { type EntryPoint } from '../forward/entry-point.ts';
import { ExportPlan } from '../forward/export-plan.ts';
import { ImportPlan } from '../forward/import-plan.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { type Services } from '../forward/service-destination.ts';
import { type View, type Views } from '../forward/view.ts';
import { type RequestHead } from '../message/head.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { isReservedHost, normaliseHost } from '../routing/match.ts';
import { CallSubject } from '../telemetry/call-subject.ts';

/** What calls from outside need. */
export interface EdgeDeps {
  readonly views: Views;
  readonly links: PeerLinks;
  readonly services: Services;
  readonly host: CallHost;
}

/** The routes of one edge. Its calls are made under its own identity. */
export class EdgePlans {
  readonly entry: EntryPoint;
  readonly host: CallHost;
  /** Those of the edge. */
  readonly limits: Limits;
  /** Of calls that no route takes. */
  readonly unrouted: CallSubject;
  readonly #deps: EdgeDeps;
  #view: View;
  readonly #caller: SpiffeId;
  readonly #plans = new Map<SnapshotRoute, Plan | undefined>();

  constructor(edge: string, limits: Limits, deps: EdgeDeps) {
    this.entry = { direction: 'edge', listener: edge, audience: 'stranger', from: 'caller' };
    this.host = deps.host;
    this.limits = limits;
    this.#deps = deps;
    this.#view = deps.views.current();
    this.#caller = edgeCallerId(this.#view.snapshot.trustDomain, edge);
    this.unrouted = new CallSubject({ direction: 'edge', listener: edge, caller: this.#caller });
  }

  /** The plan for a call whose head is in order, or why there is none. */
  planFor(head: RequestHead): Plan | ReasonCode {
    this.#refresh();
    const host = normaliseHost(head.authority.value);
    if (host === undefined) return 'authority-malformed';
    if (isReservedHost(host)) return 'authority-reserved';
    const route = this.#view.route(this.entry.listener, host, head);
    if (route === undefined) return 'no-route';
    if (!this.#plans.has(route)) this.#plans.set(route, this.#planOf(route));
    return this.#plans.get(route) ?? 'no-route';
  }

  #refresh(): void {
    const view = this.#deps.views.current();
    if (view === this.#view) return;
    this.#view = view;
    this.#plans.clear();
  }

  #planOf({ to }: SnapshotRoute): Plan | undefined {
    const { snapshot } = this.#view;
    const { links, services } = this.#deps;
    const common = { snapshot, caller: this.#caller, entry: this.entry, limits: this.limits };
    if (to.kind === 'export') {
      const exported = snapshot.exports.get(to.name);
      return exported && new ExportPlan({ ...common, exported, peer: 'self', services });
    }
    const imported = snapshot.imports.get(to.name);
    return imported && new ImportPlan({ ...common, imported, links, budgets: this.host.budgets.outbound });
  }
}
