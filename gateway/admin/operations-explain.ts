/** An explanation as the admin API and the command line show it: one wording, whether a gateway runs or not. */
import {
  explainCall,
  type ExplainedSnapshot,
  type ExplainTarget,
  type Explanation as Found,
} from '../../federation/policy/explain.ts';
import { type CallFacts } from '../../federation/policy/verdict.ts';
import { parseSpiffeId, type SpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { methodProblem } from '../headers/request-fields.ts';
import { entryOf, reasonOf, type ReasonCode } from '../refusal/reason.ts';
import { type Explanation, type ExplainRequest } from './operations.ts';

/** What a denial without a row of its own in the table gets. */
const FORBIDDEN = 403;

/** Explains a call on a snapshot, or on what YAML alone says. Throws `spiffe-id-malformed` for a malformed caller. */
export function describeCall(snapshot: ExplainedSnapshot, request: ExplainRequest): Explanation {
  const from = parseSpiffeId(request.from);
  const to = targetOf(snapshot, request);
  const call = callOf(request);
  const found = explainCall({ snapshot, from, to, call });
  const described = describe(found, {
    side: to.kind === 'export' ? 'export' : 'import',
    from: request.from,
    to: request.to,
    peer: to.kind === 'export' ? peerOf(snapshot, from) : (snapshot.imports.get(request.to)?.peer ?? null),
  });
  const unsuited = found.verdict.kind === 'permit' && call?.grpc === true ? mismatch(snapshot, to) : undefined;
  const refused = (call === undefined ? undefined : methodProblem(call.method, undefined)) ?? unsuited;
  return refused === undefined ? described : carriedByNobody(described, refused);
}

/** What a real call meets besides policy: here, that gRPC cannot be carried to a service that speaks HTTP/1.1. */
function mismatch({ exports }: ExplainedSnapshot, to: ExplainTarget): ReasonCode | undefined {
  const http1 = to.kind === 'export' && exports.get(to.name)?.protocol === 'http1';
  return http1 ? 'protocol-mismatch' : undefined;
}

/** The call that is asked about; `undefined` when nothing of one is said, as of a connection nothing can be. */
function callOf({ method, path, grpc = false }: ExplainRequest): CallFacts | undefined {
  if (method === undefined && path === undefined && !grpc) return undefined;
  return { kind: 'call', method: grpc ? 'POST' : (method ?? 'GET'), path: path ?? '/', grpc };
}

function carriedByNobody(described: Explanation, reason: ReasonCode): Explanation {
  const { message, status } = entryOf(reason);
  return { ...described, verdict: 'denial', reason, message, rule: null, status };
}

function targetOf({ exports, imports }: ExplainedSnapshot, { to, direction }: ExplainRequest): ExplainTarget {
  if (direction !== undefined) return { kind: direction, name: to };
  if (to.includes('.')) return { kind: 'host', host: to };
  return { kind: !exports.has(to) && imports.has(to) ? 'import' : 'export', name: to };
}

function describe(found: Found, where: Pick<Explanation, 'side' | 'from' | 'to' | 'peer'>): Explanation {
  const { verdict, rule, because, otherSide } = found;
  const reason = verdict.kind === 'denial' ? verdict.reason : null;
  return {
    verdict: verdict.kind,
    ...where,
    reason,
    message: because,
    rule: rule ?? null,
    origin: found.where ?? null,
    status: reason === null ? null : statusOf(reason),
    otherSide,
  };
}

function statusOf(reason: string): number {
  const code = reasonOf(reason);
  return code === undefined ? FORBIDDEN : entryOf(code).status;
}

function peerOf({ trustDomain, peers }: ExplainedSnapshot, from: SpiffeId): string | null {
  const domain = trustDomainOf(from);
  if (domain === trustDomain) return 'self';
  return [...peers.values()].find((peer) => peer.trustDomain === domain)?.name ?? null;
}
