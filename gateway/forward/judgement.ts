/** What becomes of a call before it moves: admitted to a destination, or refused. */
import { type Permit } from '../../federation/policy/verdict.ts';
import { methodOf } from '../headers/head-problem.ts';
import { type RequestFields } from '../headers/request-fields.ts';
import { type RequestHead } from '../message/head.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type Destination } from './destination.ts';
import { type View } from './view.ts';

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

/** Who judges a call again when policy has changed. */
export interface Reviewer {
  /** Why the call may not go where it went under `view`, or `undefined`. */
  refusedUnder(view: View, head: RequestHead, read: RequestFields): ReasonCode | undefined;
}

/** Why policy says no, or `undefined` where it says yes: what is not there does not matter to a call that is under way. */
export function denialIn(judgement: Judgement): ReasonCode | undefined {
  return judgement.kind === 'refusal' && judgement.verdict === 'denial' ? judgement.reason : undefined;
}

/** What a judgement is about. */
export interface JudgedCall {
  readonly method: string;
  readonly path: string;
  /** Whether its content type is that of gRPC. */
  readonly grpc: boolean;
}

/** Who decides what becomes of a call; the same call is always decided alike. */
export interface Judge {
  decide(call: JudgedCall): Judgement;
}

/**
 * A judgement remembered beside the path that it is about. The field is the same object for as long as the caller's table
 * holds it, so nobody searches; a path that comes once is judged once and forgotten with its field.
 */
class Remembered {
  readonly by: Judge;
  readonly method: string;
  readonly grpc: boolean;
  readonly judgement: Judgement;

  constructor(by: Judge, { method, grpc }: JudgedCall, judgement: Judgement) {
    this.by = by;
    this.method = method;
    this.grpc = grpc;
    this.judgement = judgement;
  }
}

/** Judges a call whose head is in order: by what `by` decided the last time about this path, method and kind of call. */
export function judge(by: Judge, head: RequestHead, { grpc }: RequestFields): Judgement {
  const { path } = head;
  const { judged } = path;
  const method = methodOf(head);
  if (judged instanceof Remembered && judged.by === by && judged.method === method && judged.grpc === grpc) {
    return judged.judgement;
  }
  const call: JudgedCall = { method, path: path.value, grpc };
  const judgement = by.decide(call);
  path.judged = new Remembered(by, call, judgement);
  return judgement;
}
