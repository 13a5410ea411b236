/** What both legs of a call, to a peer and to a service, share: facts, the end of a record, refusing with a record. */
import { type CallFacts } from '../../federation/policy/verdict.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type Audience, refuse } from '../refusal/refuse.ts';
import { type OpenRecord } from '../telemetry/call-record.ts';
import { type Forwarded } from './forward.ts';
import { type IncomingCall, isGrpc } from './exchange.ts';

/** A call with its record and who is told what. */
export interface Leg {
  readonly call: IncomingCall;
  readonly record: OpenRecord;
  readonly audience: Audience;
}

/** What policy judges: exactly what is forwarded. */
export function factsOf(call: IncomingCall): CallFacts {
  return { kind: 'call', method: call.method, path: call.path, grpc: call.method === 'POST' && isGrpc(call.headers) };
}

/** Refuses and closes the record. `verdict` says whether policy denied, or something failed. */
export function refuseLeg(leg: Leg, reason: ReasonCode, verdict: 'denial' | 'error', bytesIn = 0): void {
  const refused = refuse(leg.call, reason, leg.audience);
  leg.record.find({ reason, verdict });
  leg.record.close({ ...refused, bytesIn });
}

/** Ends the record of a forwarded call, refusing first where nothing was answered yet. */
export function endLeg(leg: Leg, forwarded: Forwarded): void {
  if (forwarded.kind === 'failed') {
    refuseLeg(leg, forwarded.reason, forwarded.refused ? 'denial' : 'error', forwarded.bytesIn);
    return;
  }
  const { status, grpcStatus, bytesIn, bytesOut, reason } = forwarded;
  if (reason !== undefined)
    leg.record.find({ reason, verdict: forwarded.complete && reason !== 'deadline' ? 'denial' : 'error' });
  leg.record.close({ status, grpcStatus, bytesIn, bytesOut });
}
