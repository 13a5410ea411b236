/** `explain` on a running gateway: the verdict that a real call gets now, in the words of the admin API. */
import { JumpgateError } from '../../base/errors.ts';
import { explainCall, type ExplainTarget } from '../../federation/policy/explain.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { trustDomainOf, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type ExplainRequest, type Explanation } from '../admin/operations.ts';
import { entryOf } from '../refusal/reason.ts';

/** Explains a call by the snapshot in use. Throws `spiffe-id-malformed` (source caller). */
export function explainLive(snapshot: Snapshot, request: ExplainRequest): Explanation {
  const from = trySpiffeId(request.from);
  if (from === undefined) {
    throw new JumpgateError(
      'spiffe-id-malformed',
      `expected a SPIFFE ID as from, found ${JSON.stringify(request.from.slice(0, 200))}`,
      {
        source: 'caller',
      },
    );
  }
  const grpc = request.grpc ?? false;
  const to = targetOf(snapshot, request);
  const { verdict, rule, where, because, otherSide } = explainCall({
    snapshot,
    from,
    to,
    method: grpc ? 'POST' : (request.method ?? 'GET'),
    path: request.path ?? '/',
    grpc,
  });
  const denied = verdict.kind === 'denial' ? verdict.reason : null;
  const domain = trustDomainOf(from);
  const caller = [...snapshot.peers.values()].find((peer) => peer.trustDomain === domain)?.name;
  return {
    verdict: verdict.kind,
    side: to.kind === 'export' ? 'export' : 'import',
    from,
    to: request.to,
    peer: domain === snapshot.trustDomain ? 'self' : (caller ?? null),
    reason: denied,
    message: because,
    rule: rule ?? null,
    origin: where ?? null,
    status: denied === null ? null : entryOf(denied).status,
    otherSide,
  };
}

/** An export of that name, unless only an import, or a host of one, is called so. */
function targetOf(snapshot: Snapshot, { to, direction }: ExplainRequest): ExplainTarget {
  if (direction !== 'import' && (direction === 'export' || snapshot.exports.has(to)))
    return { kind: 'export', name: to };
  if (snapshot.imports.has(to)) return { kind: 'import', name: to };
  return to.includes('.') ? { kind: 'host', host: to } : { kind: direction ?? 'export', name: to };
}
