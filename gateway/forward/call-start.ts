/** What a call begins with. */
import { type RequestFields } from '../headers/request-fields.ts';
import { type RequestHead } from '../message/head.ts';
import { type ServerStream } from '../message/stream.ts';
import { type Audience } from '../refusal/refuse.ts';
import { type CallLimits } from './call-limits.ts';
import { type Reviewer } from './judgement.ts';

/** What came in. */
export interface CallStart {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly read: RequestFields;
  /** The request has no body. */
  readonly end: boolean;
  readonly audience: Audience;
}

/** What sends a call on, and judges it again. */
export interface CallPlan extends Reviewer {
  readonly limits: CallLimits;
}
