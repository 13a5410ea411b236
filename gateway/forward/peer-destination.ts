/** The way to a peer's export: a link takes the call, under the caller's name (wire.md, Names). */
import { type SnapshotImport, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { pushForwarded } from '../headers/request-fields.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type ClientConnection } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { BudgetHandle, type CallerBudgets } from './caller-budget.ts';
import { type Destination, type Outgoing, type Taken } from './destination.ts';
import { formatGrpcTimeout } from './limit.ts';

/** Links that are up, by peer name. */
export interface PeerLinks {
  /** The best link that takes a call, none of `tried`. */
  pick(peer: string, tried: readonly ClientConnection[]): ClientConnection | undefined;
}

/** Where the call goes, and on whose behalf. */
export interface PeerTarget {
  readonly peer: SnapshotPeer;
  readonly imported: SnapshotImport;
  readonly caller: SpiffeId;
  readonly trustDomain: TrustDomain;
  readonly links: PeerLinks;
  readonly budgets: CallerBudgets;
}

const SCHEME = field(':scheme', 'https');

/** One caller's way to one import. What does not change from call to call is made once, so that it is sent as an index. */
export class PeerDestination implements Destination {
  readonly broken: ReasonCode = 'link-failed';
  readonly malformed: ReasonCode = 'link-failed';
  readonly refused: ReasonCode = 'link-refused';
  readonly unreachable: ReasonCode;
  readonly gateway = true;
  readonly budget: BudgetHandle;
  readonly #target: PeerTarget;
  readonly #authority: Field;
  readonly #caller: Field;
  readonly #hops: Field;
  #timeoutMs = -1;
  #timeout: Field | undefined;

  constructor(target: PeerTarget) {
    const { budgets, caller, imported, peer, trustDomain } = target;
    this.#target = target;
    this.budget = new BudgetHandle(budgets, peer.name, caller);
    this.unreachable = imported.state === 'stale' ? 'import-stale' : 'peer-unavailable';
    // From the route, never from the caller.
    this.#authority = field(':authority', `${imported.export}.${peer.trustDomain}`);
    this.#caller = field('jumpgate-caller', caller);
    this.#hops = field('jumpgate-hops', trustDomain);
  }

  take(tried: readonly ClientConnection[]): Taken | undefined {
    const connection = this.#target.links.pick(this.#target.peer.name, tried);
    return connection && { connection, authority: this.#authority, scheme: SCHEME };
  }

  /** Links are dialled all the time, whether somebody waits or not. */
  wait(): boolean {
    return false;
  }

  leave(): void {
    // Nobody waits here.
  }

  requestHead(call: Outgoing, { authority, scheme }: Pick<Taken, 'authority' | 'scheme'>): RequestHead {
    const { head, read } = call;
    const fields = read.kept;
    fields.length = read.keptCount;
    fields.push(this.#caller, this.#hops);
    pushForwarded(read);
    const leftMs = call.leftMs();
    if (leftMs !== Infinity) {
      fields.push(read.grpc ? field('grpc-timeout', formatGrpcTimeout(leftMs)) : this.#timeoutField(leftMs));
    }
    return { method: head.method, path: head.path, authority, scheme, protocol: head.protocol, fields };
  }

  /** Most calls leave at once and have the whole limit left. */
  #timeoutField(leftMs: number): Field {
    const wholeMs = Math.ceil(leftMs);
    if (this.#timeout === undefined || this.#timeoutMs !== wholeMs) {
      this.#timeoutMs = wholeMs;
      this.#timeout = field('jumpgate-timeout', String(wholeMs));
    }
    return this.#timeout;
  }
}
