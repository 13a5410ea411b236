/** An explanation as the admin API and the command line show it: one wording, whether a gateway runs or not. */
import {
  explainCall,
  type ExplainedSnapshot,
  type ExplainTarget,
  type Explanation as Found,
} from '../../federation/policy/explain.ts';
import { type JudgedExport } from '../../federation/policy/decide.ts';
import { type ExportProtocol } from '../../federation/resources/values.ts';
import { parseSpiffeId, type SpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { methodProblem } from '../headers/limits.ts';
import { entryOf, reasonOf, type ReasonCode } from '../refusal/reason.ts';
import { type Explanation, type ExplainRequest } from './operations.ts';

/** What describing needs of a snapshot: what explaining does, and how exports speak. */
export interface DescribedSnapshot extends ExplainedSnapshot {
  readonly exports: ReadonlyMap<string, JudgedExport & { readonly protocol: ExportProtocol }>;
}

/** What a denial without a row of its own in the table gets. */
const FORBIDDEN = 403;

/** Explains a call on a snapshot, or on what YAML alone says. Throws `spiffe-id-malformed` for a malformed caller. */
export function describeCall(snapshot: DescribedSnapshot, request: ExplainRequest): Explanation {
  const from = parseSpiffeId(request.from);
  const to = targetOf(snapshot, request);
  const grpc = request.grpc ?? false;
  const method = grpc ? 'POST' : (request.method ?? 'GET');
  const found = explainCall({ snapshot, from, to, grpc, method, path: request.path ?? '/' });
  const described = describe(found, {
    side: to.kind === 'export' ? 'export' : 'import',
    from: request.from,
    to: request.to,
    peer: to.kind === 'export' ? peerOf(snapshot, from) : (snapshot.imports.get(request.to)?.peer ?? null),
  });
  const refused = methodProblem(method) ?? (found.verdict.kind === 'permit' ? mismatch(snapshot, to, grpc) : undefined);
  return refused === undefined ? described : carriedByNobody(described, refused);
}

/** What a real call meets besides policy: here, that gRPC cannot be carried to a service that speaks HTTP/1.1. */
function mismatch({ exports }: DescribedSnapshot, to: ExplainTarget, grpc: boolean): ReasonCode | undefined {
  const http1 = to.kind === 'export' && exports.get(to.name)?.protocol === 'http1';
  return grpc && http1 ? 'protocol-mismatch' : undefined;
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
