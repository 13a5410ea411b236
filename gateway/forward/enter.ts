/** What every call goes through once it has been looked up: its limit, its judgement, its way. */
import { type RequestHead } from '../message/head.ts';
import { type EarlyReason, type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { beyondLimit, type HeadLimits } from '../refusal/beyond-limit.ts';
import { entryOf, type ReasonCode } from '../refusal/reason.ts';
import { refuse } from '../refusal/refuse.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { type CallHost } from './call-host.ts';
import { type CallPlan, type CallStart } from './call-start.ts';
import { Call } from './call.ts';
import { type EntryPoint } from './entry-point.ts';
import { judge, type Judge } from './judgement.ts';
import { limitOf } from './limit.ts';

/** Who judges a call that has a place to go. */
export interface Plan extends Judge, CallPlan {
  readonly unjudged: CallSubject;
}

/** What came in, and where. */
export interface Entering extends Omit<CallStart, 'audience'> {
  readonly entry: EntryPoint;
}

/** A call that is refused before it has a place to go. */
export function enterRefused(host: CallHost, entering: Entering, subject: CallSubject, reason: ReasonCode): Call {
  const { entry, stream, head, read, end } = entering;
  const call = new Call(host, { stream, head, read, end, audience: entry.audience }, subject);
  call.refuse(reason, 'denial');
  return call;
}

/** A call that goes where `plan` says, if it may. */
export function enter(host: CallHost, entering: Entering, plan: Plan): StreamReceiver {
  const { entry, stream, head, read, end } = entering;
  const limitMs = limitOf(read, entry.from, plan.limits.responseMs);
  if (limitMs === undefined) return enterRefused(host, entering, plan.unjudged, 'deadline-malformed');
  const judgement = judge(plan, head, read);
  const call = new Call(host, { stream, head, read, end, audience: entry.audience }, judgement.subject);
  if (judgement.kind === 'refusal') call.refuse(judgement.reason, judgement.verdict);
  else call.send(judgement.destination, limitMs, plan);
  return call;
}

/** A request that never became a call. */
export interface EarlyRefusal {
  readonly reason: EarlyReason;
  readonly head: Partial<RequestHead>;
  readonly stream: ServerStream | undefined;
  readonly protocol: 'http1' | 'http2';
  readonly limits: HeadLimits;
}

/** Answers a request that the engine refused, where it still can be answered, and records it like any refusal. */
export function refuseEarly(host: CallHost, entry: EntryPoint, subject: CallSubject, early: EarlyRefusal): void {
  const { reason, head, stream, protocol, limits } = early;
  const method = head.method?.value ?? '';
  const answered =
    stream &&
    refuse(stream, {
      reason,
      grpc: false,
      audience: entry.audience,
      method,
      told: beyondLimit(reason, limits),
    });
  host.sink.record({
    subject,
    startedAtMs: host.clock.now(),
    durationMs: 0,
    host: head.authority?.value ?? '',
    method,
    target: head.path?.value ?? '',
    protocol,
    status: answered?.status ?? entryOf(reason).status,
    grpcStatus: -1,
    verdict: 'denial',
    reason,
    bytesIn: 0,
    bytesOut: answered?.bytesOut ?? 0,
  });
}
