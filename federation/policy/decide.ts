/** The one place where calls are admitted: pure, deny by default, any rule that matches is enough. */
import { branded } from '../../base/brand.ts';
import { type Origin } from '../../base/origin.ts';
import { type Distrust, distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { matchesId } from '../../trust-bundles/identity/match.ts';
import { trustDomainOf, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type ExportProtocol, isTunnelProtocol } from './protocol.ts';
import { namesPeer } from './naming.ts';
import { grpcMethodOf, matchesGrpc, pathPattern, pathProblem, withoutQuery } from './path.ts';
import { type AllowRule, type HttpWhat, type IdPattern, type What } from './rule.ts';
import { type CallFacts, type ConnectionFacts, type Denial, type Permit, type Verdict } from './verdict.ts';

/** What policy needs of an export; a snapshot's exports have it. */
export interface JudgedExport {
  readonly name: string;
  readonly protocol: ExportProtocol;
  readonly allow: readonly AllowRule[];
  readonly origin: Origin;
}

/** What policy needs of an import; a snapshot's imports have it. */
export interface JudgedImport {
  readonly name: string;
  /** The peer that exports it, and its trust domain; `undefined` while there is no such peer. */
  readonly peer: string;
  readonly peerTrustDomain: TrustDomain | undefined;
  /** As the peer announced it; `undefined` until then. */
  readonly protocol: ExportProtocol | undefined;
  readonly who: readonly IdPattern[];
  readonly origin: Origin;
}

/** A call or connection that came for an export: over a link from `peer`, or from our own mesh (`self`). */
export interface ExportQuestion {
  readonly exported: JudgedExport;
  readonly caller: SpiffeId;
  /** The name of the peer whose link carries the call and whose trust domain the caller is of; `self` for our own mesh. */
  readonly peer: string;
  readonly distrust: Distrust;
  readonly call: CallFacts | ConnectionFacts;
}

/** A call or connection of a workload of ours that goes to an import. */
export interface ImportQuestion {
  readonly imported: JudgedImport;
  readonly caller: SpiffeId;
  readonly distrust: Distrust;
  readonly call: CallFacts | ConnectionFacts;
}

/** The policy of one export or import for one caller: what is left to look at is the call. */
export type Policy = (call: CallFacts | ConnectionFacts) => Verdict;

/** Whether the export's rules admit the call. An export none of whose rules names the peer does not exist for it. */
export function decideExport(question: ExportQuestion): Verdict {
  return exportPolicy(question)(question.call);
}

/** Whether the import may be used by this local caller. */
export function decideImport(question: ImportQuestion): Verdict {
  return importPolicy(question)(question.call);
}

/** {@link decideExport} with everything done beforehand that does not depend on the call. */
export function exportPolicy({ exported, caller, peer, distrust }: Omit<ExportQuestion, 'call'>): Policy {
  const named = { name: peer, trustDomain: trustDomainOf(caller) };
  if (!exported.allow.some((rule) => namesPeer(rule, named))) {
    const message = `no rule of export ${exported.name} names ${peer} and ${named.trustDomain}`;
    const hidden: Denial = { kind: 'denial', reason: 'no-route', message, origin: exported.origin, visible: false };
    return () => hidden;
  }
  const what = `export ${exported.name}`;
  const suspect = distrust.exports.has(exported.name) ? what : suspectOf(distrust, caller, peer);
  if (suspect !== undefined) return quarantined(suspect, exported.origin);
  const admitting = exported.allow.flatMap((rule, index) =>
    namesPeer(rule, named) && admitsCaller(rule, caller)
      ? [
          {
            rule,
            admits: callMatcher(rule.what),
            permit: permit(`${exported.name}.allow[${index}]`, rule.origin, caller),
          },
        ]
      : [],
  );
  const [nearest] = admitting;
  return (call) => {
    const refused = refusedUnasked(what, exported, call);
    if (refused !== undefined) return refused;
    for (const each of admitting) if (each.admits(call)) return each.permit;
    const message =
      nearest === undefined
        ? `no rule of export ${exported.name} admits the caller ${caller}`
        : `export ${exported.name} admits ${caller}, but not for ${describe(call)}`;
    return denial('denied-by-export', message, nearest?.rule.origin ?? exported.origin);
  };
}

/** {@link decideImport} with everything done beforehand that does not depend on the call. */
export function importPolicy({ imported, caller, distrust }: Omit<ImportQuestion, 'call'>): Policy {
  const { name, origin, peer, peerTrustDomain } = imported;
  const isTheirs = peerTrustDomain !== undefined && distrust.domains.has(peerTrustDomain);
  const suspect = isTheirs ? `trust domain ${peerTrustDomain}` : suspectOf(distrust, caller, peer);
  if (suspect !== undefined) return quarantined(suspect, origin);
  const index = imported.who.findIndex((pattern) => matchesId(pattern, caller));
  const verdict =
    index === -1
      ? denial('denied-by-import', `no pattern of import ${name} admits the caller ${caller}`, origin)
      : permit(`${name}.who[${index}]`, origin, caller);
  return (call) => refusedUnasked(`import ${name}`, imported, call) ?? verdict;
}

/** Who of those that take part in a call is distrusted, in words. */
function suspectOf(distrust: Distrust, caller: SpiffeId, peer: string): string | undefined {
  if (distrust.peers.has(peer)) return `peer ${peer}`;
  return distrustsId(distrust, caller) ? `the caller ${caller}` : undefined;
}

function quarantined(suspect: string, origin: Origin): Policy {
  const refused = denial('quarantined', `${suspect} is quarantined here: "jumpgate quarantine list" says why`, origin);
  return () => refused;
}

/** What is refused before any rule is asked: the wrong kind for the service, a path of two readings; else `undefined`. */
function refusedUnasked(
  what: string,
  { protocol, origin }: { readonly protocol: ExportProtocol | undefined; readonly origin: Origin },
  call: CallFacts | ConnectionFacts,
): Denial | undefined {
  const connection = call.kind === 'connection';
  if (protocol !== undefined && isTunnelProtocol(protocol) !== connection) {
    const message = `${what} speaks ${protocol}, so it takes ${connection ? 'calls' : 'connections'}, found a ${call.kind}`;
    return denial('protocol-mismatch', message, origin);
  }
  const problem = connection ? undefined : callProblem(call);
  return problem === undefined ? undefined : denial('path-ambiguous', problem, origin);
}

function callProblem(call: CallFacts): string | undefined {
  const problem = pathProblem(call.path);
  if (problem !== undefined || !call.grpc || grpcMethodOf(call.path) !== undefined) return problem;
  return `expected a gRPC call of exactly /Service/Method, found ${JSON.stringify(call.path.slice(0, 80))}`;
}

function admitsCaller(rule: AllowRule, caller: SpiffeId): boolean {
  return rule.who === undefined || rule.who.some((pattern) => matchesId(pattern, caller));
}

/** Whether a rule with this `what` admits a call. */
type CallMatcher = (call: CallFacts | ConnectionFacts) => boolean;

/**
 * HTTP rules judge every call, since a gRPC call is one too and its content type is the caller's to choose. A rule that
 * says what it admits never admits a connection, whose content nobody sees.
 */
function callMatcher(what: What | undefined): CallMatcher {
  if (what === undefined) return () => true;
  const http = (what.http ?? []).map(httpMatcher);
  const grpc = what.grpc ?? [];
  return (call) => {
    if (call.kind === 'connection') return false;
    if (http.some((admits) => admits(call))) return true;
    return call.grpc && call.method === 'POST' && grpc.some((pattern) => matchesGrpc(pattern, call.path));
  };
}

function httpMatcher({ methods, paths }: HttpWhat): (call: CallFacts) => boolean {
  const patterns = paths?.map(pathPattern);
  return ({ method, path }) => {
    if (methods !== undefined && !methods.includes(method)) return false;
    if (patterns === undefined) return true;
    const plain = withoutQuery(path);
    return patterns.some((matches) => matches(plain));
  };
}

function describe(call: CallFacts | ConnectionFacts): string {
  if (call.kind === 'connection') return 'connections';
  const path = withoutQuery(call.path).slice(0, 256);
  return `${call.grpc ? 'gRPC' : call.method.slice(0, 32)} ${path}`;
}

function permit(rule: string, origin: Origin, caller: SpiffeId): Permit {
  return branded({ kind: 'permit', rule, origin, caller });
}

function denial(reason: Denial['reason'], message: string, origin: Origin): Denial {
  return { kind: 'denial', reason, message, origin, visible: true };
}
