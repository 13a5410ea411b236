/** What becomes of a call before it moves: admitted to a destination, or refused. */
import { type Permit } from '../../federation/policy/verdict.ts';
import { type Field } from '../message/field.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type Destination } from './destination.ts';

/** The way is open. */
export interface Admission {
  readonly kind: 'admission';
  /** Proof that policy admitted the call. */
  readonly permit: Permit;
  readonly subject: CallSubject;
  readonly destination: Destination;
}

/** The call is refused. `error`: policy admitted it, or was not asked, and something is not there. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly reason: ReasonCode;
  readonly verdict: 'denial' | 'error';
  readonly subject: CallSubject;
}

/** Outcome of judging. */
export type Judgement = Admission | Refusal;

/** What a judgement is about, besides the path. */
export interface JudgedCall {
  readonly method: string;
  /** Whether its content type is that of gRPC. */
  readonly grpc: boolean;
}

/**
 * A judgement remembered beside the path that it is about. The field is the same object for as long as the caller's table
 * holds it, so nobody searches; a path that comes once is judged once and forgotten with its field.
 */
class Remembered {
  readonly by: object;
  readonly method: string;
  readonly grpc: boolean;
  readonly judgement: Judgement;

  constructor(by: object, { method, grpc }: JudgedCall, judgement: Judgement) {
    this.by = by;
    this.method = method;
    this.grpc = grpc;
    this.judgement = judgement;
  }
}

/** What `by` judged the last time that it was asked about this path, method and kind of call. */
export function recall(path: Field, by: object, method: string, grpc: boolean): Judgement | undefined {
  const { judged } = path;
  if (!(judged instanceof Remembered)) return undefined;
  return judged.by === by && judged.method === method && judged.grpc === grpc ? judged.judgement : undefined;
}

/** Keeps a judgement for {@link recall}, and returns it. */
export function remember(path: Field, by: object, call: JudgedCall, judgement: Judgement): Judgement {
  path.judged = new Remembered(by, call, judgement);
  return judgement;
}
