/** The leg of a permitted call to a backend of one of our exports. */
import { codeOf } from '../../base/errors.ts';
import { type Permit } from '../../federation/policy/verdict.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { serviceIdentity } from '../headers/identity.ts';
import { stripRequest, stripResponse } from '../headers/strip.ts';
import { type ServicePools } from '../routing/service-pool.ts';
import { type Deadline } from './deadline.ts';
import { type HeaderField, type IncomingCall, isGrpc, type OutgoingCall, type RequestHead } from './exchange.ts';
import { forward, type Forwarded } from './forward.ts';
import { endLeg, type Leg, refuseLeg } from './leg.ts';

/** Attempts for one call, where the earlier ones found a connection that was already gone. */
const ATTEMPTS_MAX = 3;

/** Methods that may be sent again after a kept-alive connection was closed under them (RFC 9110 §9.2.2). */
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'];

/** Where the call goes, and on whose behalf. */
export interface ServiceTarget {
  /** Proof that policy admitted the call; its caller is the one that the service sees. */
  readonly permit: Permit;
  readonly exported: SnapshotExport;
  readonly gatewayId: SpiffeId;
  readonly services: ServicePools;
  readonly deadline: Deadline;
  readonly forwarded: readonly HeaderField[];
}

/** Sends the call and ends its record. */
export async function toService(leg: Leg, target: ServiceTarget): Promise<void> {
  const { call } = leg;
  if (target.exported.protocol === 'http1' && isGrpc(call.headers)) {
    refuseLeg(leg, 'protocol-mismatch', 'error');
    return;
  }
  const signal = AbortSignal.any([call.closed, target.deadline.expired]);
  let forwarded: Forwarded | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const outgoing = await open(leg, target, signal);
    if (outgoing === 'again') continue;
    if (outgoing === undefined) return;
    forwarded = await forward({
      call,
      outgoing,
      deadline: target.deadline,
      broken: 'service-failed',
      onResponse: (headers) => ({ kind: 'pass', headers: stripResponse(headers), reason: undefined }),
    });
    if (!mayGoAgain(call, forwarded) || signal.aborted) break;
  }
  if (forwarded === undefined) refuseLeg(leg, 'service-unavailable', 'error');
  else endLeg(leg, forwarded);
}

function mayGoAgain(call: IncomingCall, forwarded: Forwarded): boolean {
  if (forwarded.kind !== 'failed') return false;
  return forwarded.untouched || (forwarded.stale && !call.hasBody && IDEMPOTENT.includes(call.method));
}

/** The request under way; `again` when the connection went away before it left; `undefined` when the call was refused. */
async function open(leg: Leg, target: ServiceTarget, signal: AbortSignal): Promise<OutgoingCall | 'again' | undefined> {
  const opened = await target.services.open(target.exported, signal);
  if (opened === undefined) {
    let reason: 'deadline' | 'caller-gone' | 'service-unavailable' = 'service-unavailable';
    if (target.deadline.expired.aborted) reason = 'deadline';
    if (leg.call.closed.aborted) reason = 'caller-gone';
    refuseLeg(leg, reason, 'error');
    return undefined;
  }
  try {
    return opened.upstream.request(serviceHead(leg, target, opened.authority), signal);
  } catch (error) {
    if (codeOf(error) === 'not-sent') return 'again';
    refuseLeg(leg, 'header-malformed', 'error');
    return undefined;
  }
}

function serviceHead(leg: Leg, target: ServiceTarget, backendAuthority: string): RequestHead {
  const { call } = leg;
  const timeout = target.deadline.field('service');
  const headers = stripRequest(call.headers).filter(([name]) => name !== 'grpc-timeout');
  return {
    method: call.method,
    path: call.path,
    authority: target.exported.authority ?? backendAuthority,
    scheme: 'http',
    headers: [
      ...headers,
      serviceIdentity(target.permit.caller, target.gatewayId),
      ...target.forwarded,
      ...(timeout === undefined ? [] : [timeout]),
    ],
    neverIndexed: call.neverIndexed,
    hasBody: call.hasBody,
  };
}
