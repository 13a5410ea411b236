/** The way to a backend of one of our exports: the service sees who calls, in words that only gateways write. */
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { pushForwarded } from '../headers/request-fields.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type ClientConnection } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type BudgetHandle } from './caller-budget.ts';
import { type Destination, type Outgoing, type Taken, type Waiter } from './destination.ts';
import { formatGrpcTimeout } from './limit.ts';

/** Connections to the backends of exports. */
export interface Services {
  /** A connection that takes a request now, none of `tried`. */
  take(exported: SnapshotExport, tried: readonly ClientConnection[]): Taken | undefined;
  /** Makes a connection; the waiter is told when there is one, or that no backend accepts any. */
  wait(exported: SnapshotExport, waiter: Waiter): void;
  /** The waiter is told nothing any more. */
  leave(exported: SnapshotExport, waiter: Waiter): void;
}

/** Where the call goes, and on whose behalf. */
export interface ServiceTarget {
  readonly exported: SnapshotExport;
  readonly caller: SpiffeId;
  readonly gatewayId: SpiffeId;
  readonly services: Services;
  /** Of a call that came over a link. */
  readonly budget: BudgetHandle | undefined;
}

/** One caller's way to one export. */
export class ServiceDestination implements Destination {
  readonly broken: ReasonCode = 'service-failed';
  readonly malformed: ReasonCode = 'service-malformed';
  readonly refused: ReasonCode = 'service-unavailable';
  readonly unreachable: ReasonCode = 'service-unavailable';
  readonly gateway = false;
  readonly budget: BudgetHandle | undefined;
  readonly #target: ServiceTarget;
  readonly #identity: Field;
  readonly #authority: Field | undefined;

  constructor(target: ServiceTarget) {
    const { authority } = target.exported;
    this.#target = target;
    this.budget = target.budget;
    // Exactly one element, made here. A SPIFFE ID has no character that would need quoting.
    this.#identity = field('x-forwarded-client-cert', `By=${target.gatewayId};URI=${target.caller}`);
    this.#authority = authority === undefined ? undefined : field(':authority', authority);
  }

  take(tried: readonly ClientConnection[]): Taken | undefined {
    return this.#target.services.take(this.#target.exported, tried);
  }

  wait(waiter: Waiter): boolean {
    this.#target.services.wait(this.#target.exported, waiter);
    return true;
  }

  leave(waiter: Waiter): void {
    this.#target.services.leave(this.#target.exported, waiter);
  }

  requestHead(call: Outgoing, { authority, scheme }: Pick<Taken, 'authority' | 'scheme'>): RequestHead {
    const { head, read } = call;
    const fields = read.kept;
    fields.length = read.keptCount;
    fields.push(this.#identity);
    pushForwarded(read);
    const leftMs = read.grpc ? call.leftMs() : Infinity;
    if (leftMs !== Infinity) fields.push(field('grpc-timeout', formatGrpcTimeout(leftMs)));
    const { method, path, protocol } = head;
    return { method, path, authority: this.#authority ?? authority, scheme, protocol, fields };
  }
}
