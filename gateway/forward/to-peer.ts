/** The leg of a permitted call to a peer's export over a link. */
import { type Permit } from '../../federation/policy/verdict.ts';
import { type SnapshotImport, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { codeOf } from '../../base/errors.ts';
import { linkIdentity } from '../headers/identity.ts';
import { stripRequest, stripResponse } from '../headers/strip.ts';
import { type ReasonCode, reasonOf } from '../refusal/reason.ts';
import { type Deadline } from './deadline.ts';
import { type HeaderField, type OutgoingCall, type RequestHead, soleValue, type Upstream } from './exchange.ts';
import { forward, type ResponseHeaders } from './forward.ts';
import { endLeg, type Leg, refuseLeg } from './leg.ts';

/** Links that are up, by peer name; each answer may be another link. */
export interface PeerLinks {
  pick(peer: string): Upstream | undefined;
}

/** Links asked for when one turns out to be closing or refuses the stream; the request has not been looked at then. */
const PICKS_MAX = 4;

/** Where the call goes, and on whose behalf. */
export interface PeerTarget {
  /** Proof that policy admitted the call; its caller is the one that is named to the peer. */
  readonly permit: Permit;
  readonly peer: SnapshotPeer;
  readonly imported: SnapshotImport;
  readonly trustDomain: TrustDomain;
  readonly links: PeerLinks;
  readonly deadline: Deadline;
  /** x-forwarded-host, -proto and -for as this gateway states them. */
  readonly forwarded: readonly HeaderField[];
}

/** Sends the call and ends its record. What one link refused goes to another one, as long as nothing of it is lost by that. */
export async function toPeer(leg: Leg, target: PeerTarget): Promise<void> {
  const { call } = leg;
  const signal = AbortSignal.any([call.closed, target.deadline.expired]);
  const refusing = new Set<Upstream>();
  let reason: ReasonCode = target.imported.state === 'stale' ? 'import-stale' : 'peer-unavailable';
  for (let attempt = 0; attempt < PICKS_MAX; attempt += 1) {
    const link = target.links.pick(target.peer.name);
    if (link === undefined) break;
    if (refusing.has(link)) continue;
    const outgoing = start(link, linkHead(leg, target, target.permit.caller), signal);
    if (outgoing === 'not-sent') continue;
    if (outgoing === 'header-malformed') {
      refuseLeg(leg, outgoing, 'error');
      return;
    }
    const forwarded = await forward({
      call,
      outgoing,
      deadline: target.deadline,
      broken: 'link-failed',
      onResponse: (headers) => fromPeer(leg, headers),
    });
    const again = forwarded.kind === 'failed' && forwarded.untouched && !signal.aborted;
    if (!again) {
      endLeg(leg, forwarded);
      return;
    }
    refusing.add(link);
    reason = forwarded.reason;
  }
  refuseLeg(leg, reason, 'error');
}

function linkHead(leg: Leg, target: PeerTarget, caller: SpiffeId): RequestHead {
  const { call } = leg;
  const timeout = target.deadline.field('link');
  const headers = stripRequest(call.headers).filter(([name]) => name !== 'grpc-timeout');
  return {
    method: call.method,
    path: call.path,
    // From the route, never from the caller (wire.md, Names).
    authority: `${target.imported.export}.${target.peer.trustDomain}`,
    scheme: 'https',
    headers: [
      ...headers,
      ...linkIdentity(caller, target.trustDomain),
      ...target.forwarded,
      ...(timeout === undefined ? [] : [timeout]),
    ],
    neverIndexed: call.neverIndexed,
    hasBody: call.hasBody,
  };
}

function start(link: Upstream, head: RequestHead, signal: AbortSignal): OutgoingCall | 'not-sent' | 'header-malformed' {
  try {
    return link.request(head, signal);
  } catch (error) {
    return codeOf(error) === 'not-sent' ? 'not-sent' : 'header-malformed';
  }
}

/** Of what gateways write, a peer's reason alone passes, and to trusted callers only; strangers get a refusal of ours. */
function fromPeer(leg: Leg, headers: readonly HeaderField[]): ResponseHeaders {
  const reason = reasonOf(soleValue(headers, 'jumpgate-reason'));
  if (reason === undefined) return { kind: 'pass', headers: stripResponse(headers), reason: undefined };
  if (leg.audience === 'stranger') return { kind: 'refuse', reason };
  return { kind: 'pass', headers: [...stripResponse(headers), ['jumpgate-reason', reason]], reason };
}
