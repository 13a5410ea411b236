/** What a call would get, and why, in words: the same verdict that `decide` gives, and what the other side may still say. */
import { formatOrigin } from '../../base/origin.ts';
import { type Distrust } from '../../trust-bundles/distrust/distrust.ts';
import { trustDomainOf, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { decideExport, decideImport, type JudgedExport, type JudgedImport } from './decide.ts';
import { type ExportProtocol, isTunnelProtocol } from './protocol.ts';
import { SELF_PEER } from './rule.ts';
import { type CallFacts, type ConnectionFacts, type Denial, type Verdict } from './verdict.ts';

/** What explaining needs of a snapshot. */
export interface ExplainedSnapshot {
  readonly trustDomain: TrustDomain;
  readonly distrust: Distrust;
  readonly peers: ReadonlyMap<string, { readonly name: string; readonly trustDomain: TrustDomain }>;
  readonly exports: ReadonlyMap<string, JudgedExport>;
  readonly imports: ReadonlyMap<string, ExplainedImport>;
}

/** What explaining needs of an import. */
export interface ExplainedImport extends JudgedImport {
  readonly export: string;
  readonly hosts: readonly string[];
  readonly state: 'active' | 'stale' | 'withdrawn' | 'awaiting';
}

/** Where the call goes: an export of ours, an import, or whatever import a host name reaches. */
export type ExplainTarget =
  | { readonly kind: 'export'; readonly name: string }
  | { readonly kind: 'import'; readonly name: string }
  | { readonly kind: 'host'; readonly host: string };

/** The call or connection to explain. */
export interface ExplainQuestion {
  readonly snapshot: ExplainedSnapshot;
  /** `undefined` for what the target's protocol makes usual: a connection, or GET /. */
  readonly call: CallFacts | undefined;
  readonly from: SpiffeId;
  readonly to: ExplainTarget;
}

/** The answer. */
export interface Explanation {
  readonly verdict: Verdict;
  /** `payments.allow[0]`; `undefined` for a denial. */
  readonly rule: string | undefined;
  /** `file:line:column` of the rule, or of what came nearest. */
  readonly where: string | undefined;
  /** One sentence on the verdict. */
  readonly because: string;
  /** What can still refuse a permitted call, or make a denial moot; one sentence. */
  readonly otherSide: string;
}

/** Explains a call without making it. */
export function explainCall(question: ExplainQuestion): Explanation {
  const { snapshot, to } = question;
  switch (to.kind) {
    case 'export':
      return explainExport(question, snapshot.exports.get(to.name), to.name);
    case 'import':
      return explainImport(question, snapshot.imports.get(to.name), `import ${to.name}`);
    case 'host': {
      const host = hostName(to.host);
      const found = [...snapshot.imports.values()].find((candidate) => candidate.hosts.includes(host));
      return explainImport(question, found, `import with the host ${host}`);
    }
    default:
      return to satisfies never;
  }
}

function explainExport(question: ExplainQuestion, exported: JudgedExport | undefined, name: string): Explanation {
  const { snapshot, from } = question;
  const peer = peerOf(snapshot, from);
  if (peer === undefined) {
    const message = `no registered peer has the trust domain ${trustDomainOf(from)}, so no link brings this caller`;
    return answer(noRoute(message), 'no other side is known for this caller');
  }
  const otherSide =
    peer === SELF_PEER
      ? 'our own mesh calls, so no other mesh is asked'
      : `${peer} itself may still refuse: there an import must admit the caller before the call leaves`;
  if (exported === undefined) return answer(noRoute(`there is no export ${name} here`), otherSide);
  const { distrust } = snapshot;
  const call = factsFor(question, exported.protocol);
  return answer(decideExport({ exported, caller: from, peer, distrust, call }), otherSide);
}

function explainImport(question: ExplainQuestion, imported: ExplainedImport | undefined, what: string): Explanation {
  const { snapshot, from } = question;
  if (imported === undefined) return answer(noRoute(`there is no ${what} here`), 'no other mesh is asked');
  const otherSide = importOtherSide(imported);
  if (trustDomainOf(from) !== snapshot.trustDomain) {
    const message = `imports are for callers of ${snapshot.trustDomain} only, found ${from}`;
    const { origin } = imported;
    return answer({ kind: 'denial', reason: 'denied-by-import', message, origin, visible: true }, otherSide);
  }
  const { distrust } = snapshot;
  const call = factsFor(question, imported.protocol);
  return answer(decideImport({ imported, caller: from, distrust, call }), otherSide);
}

function importOtherSide(imported: ExplainedImport): string {
  const { peer, state } = imported;
  const remote = `${peer}'s own policy for its export ${imported.export} decides as well and may still refuse`;
  switch (state) {
    case 'active':
      return remote;
    case 'stale':
      return `${peer} has not confirmed its catalogue lately, calls are still tried; ${remote}`;
    case 'withdrawn':
      return `${peer} does not export ${imported.export} to us, so a call is refused here until it does; then ${remote}`;
    case 'awaiting':
      return `nothing is known of ${peer}'s exports here, so a call is refused until they are; then ${remote}`;
    default:
      return state satisfies never;
  }
}

function peerOf(snapshot: ExplainedSnapshot, from: SpiffeId): string | undefined {
  const trustDomain = trustDomainOf(from);
  if (trustDomain === snapshot.trustDomain) return SELF_PEER;
  return [...snapshot.peers.values()].find((peer) => peer.trustDomain === trustDomain)?.name;
}

function answer(verdict: Verdict, otherSide: string): Explanation {
  const where = verdict.origin === undefined ? undefined : formatOrigin(verdict.origin);
  if (verdict.kind === 'denial') return { verdict, rule: undefined, where, because: verdict.message, otherSide };
  return { verdict, rule: verdict.rule, where, because: `${verdict.rule} admits ${verdict.caller}`, otherSide };
}

function noRoute(message: string): Denial {
  return { kind: 'denial', reason: 'no-route', message, visible: false };
}

function factsFor({ call }: ExplainQuestion, protocol: ExportProtocol | undefined): CallFacts | ConnectionFacts {
  if (call !== undefined) return call;
  if (protocol !== undefined && isTunnelProtocol(protocol)) return { kind: 'connection' };
  return { kind: 'call', method: 'GET', path: '/', grpc: false };
}

/** Lower-case, without port and trailing dot, as a request's authority is matched. */
function hostName(authority: string): string {
  return authority.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
}
