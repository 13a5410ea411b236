/** What every call goes through when it enters at a listener: its record, its head, its host and its deadline. */
import { type Clock } from '../../base/clock.ts';
import { pathProblem } from '../../federation/policy/path.ts';
import { headProblem } from '../headers/limits.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { entryOf, type ReasonCode } from '../refusal/reason.ts';
import { type Audience } from '../refusal/refuse.ts';
import { isReservedHost, normaliseHost } from '../routing/match.ts';
import { type CallRecord, type CallSink, openRecord } from '../telemetry/call-record.ts';
import { type Deadline, startDeadline } from './deadline.ts';
import { type EarlyRefusals, type IncomingCall, isGrpc } from './exchange.ts';
import { type Leg } from './leg.ts';

/** Where a call enters. */
export interface EntryPoint {
  readonly direction: CallRecord['direction'];
  readonly listener: string;
  readonly audience: Audience;
  readonly from: 'caller' | 'link';
}

/** Opens the record of a call. */
export function openLeg(
  call: IncomingCall,
  entry: EntryPoint,
  deps: { readonly clock: Clock; readonly sink: CallSink },
): Leg {
  const start = {
    direction: entry.direction,
    listener: entry.listener,
    protocol: call.protocol,
    method: call.method,
    host: call.authority,
    path: call.path,
  };
  return { call, audience: entry.audience, record: openRecord(start, deps.clock, deps.sink) };
}

/** Records requests that never became calls, so that what was refused at the door is counted and logged like any refusal. */
export function recordRefusals(
  entry: EntryPoint,
  deps: { readonly clock: Clock; readonly sink: CallSink },
  caller?: SpiffeId,
): EarlyRefusals {
  const { direction, listener } = entry;
  return {
    tellReason: entry.audience === 'trusted',
    record: ({ reason, ...head }) => {
      const record = openRecord({ direction, listener, ...head }, deps.clock, deps.sink);
      record.find({ caller, reason, verdict: 'denial' });
      record.close({ status: entryOf(reason).status, grpcStatus: undefined, bytesIn: 0, bytesOut: 0 });
    },
  };
}

/** Why the head of a call is refused before anything is looked up; `undefined` when it is in order. */
export function entryProblem(call: IncomingCall): ReasonCode | undefined {
  return headProblem(call) ?? (pathProblem(call.path) === undefined ? undefined : 'path-ambiguous');
}

/** The host that a caller outside any link asked for, or why it is refused. */
export function askedHost(call: IncomingCall): { readonly host: string } | { readonly reason: ReasonCode } {
  const host = normaliseHost(call.authority);
  if (host === undefined) return { reason: 'authority-malformed' };
  return isReservedHost(host) ? { reason: 'authority-reserved' } : { host };
}

/** The running deadline of a call, or `undefined` when what it says about it is malformed. */
export function callDeadline(call: IncomingCall, entry: EntryPoint, clock: Clock): Deadline | undefined {
  return startDeadline({ headers: call.headers, grpc: isGrpc(call.headers), from: entry.from }, clock);
}
