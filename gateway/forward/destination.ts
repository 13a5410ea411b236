/** Where a permitted call goes: a peer's gateway over a link, or a backend of one of our exports. */
import { type RequestFields } from '../headers/request-fields.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { type ClientConnection } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type BudgetHandle } from './caller-budget.ts';

/** What a destination reads of a call. */
export interface Outgoing {
  readonly head: RequestHead;
  readonly read: RequestFields;
  /** What is left until the deadline, milliseconds; Infinity for none. */
  leftMs(): number;
}

/** A connection to send the call on, with what its request says by it. */
export interface Taken {
  readonly connection: ClientConnection;
  /** The authority of the request. */
  readonly authority: Field;
  /** Whether the way is in TLS. */
  readonly scheme: Field;
}

/** Who waits for a connection. */
export interface Waiter {
  /** One may be there now: ask again. */
  onConnection(): void;
  /** None could be made. */
  onUnreachable(): void;
}

/** A place that takes calls. */
export interface Destination {
  /**
   * The reason when it breaks off before it answered, when what it answers breaks the rules of its protocol, when it refuses
   * the stream, and when there is no connection.
   */
  readonly broken: ReasonCode;
  readonly malformed: ReasonCode;
  readonly refused: ReasonCode;
  readonly unreachable: ReasonCode;
  /** Whether its responses come from a gateway, whose reason is then believed. */
  readonly gateway: boolean;
  /** What the caller may cost links on the way here; `undefined` where the call crosses none. */
  readonly budget: BudgetHandle | undefined;
  /** A connection that takes a request now, none of `tried`. */
  take(tried: readonly ClientConnection[]): Taken | undefined;
  /** Makes a connection; false when there is nothing to wait for. */
  wait(waiter: Waiter): boolean;
  /** It is over for someone who waits: nothing is told, and no connection made for it. */
  leave(waiter: Waiter): void;
  /** The head to send. */
  requestHead(call: Outgoing, taken: Pick<Taken, 'authority' | 'scheme'>): RequestHead;
}
