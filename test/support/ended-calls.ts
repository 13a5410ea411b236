/** Calls that have ended, and what log and metrics have to say of them, made the plain way: no memory, one by one. */
import { CallSubject, type CallSubjectFacts, type EndedCall } from '../../gateway/telemetry/call-subject.ts';

/** A known caller's calls to a known export. */
export const FACTS: CallSubjectFacts = {
  direction: 'inbound',
  listener: 'jump',
  caller: 'spiffe://eu-west.example.org/shop',
  gateway: 'spiffe://eu-west.example.org/jumpgate',
  peer: 'eu-west',
  export: 'payments',
  rule: 'payments.allow[0]',
  origin: 'exports.yaml:3:5',
};

/** A subject of {@link FACTS} with changes. */
export function subjectOf(changes: Partial<CallSubjectFacts> = {}): CallSubject {
  return new CallSubject({ ...FACTS, ...changes });
}

/** A permitted call that was answered with 200. */
export function endedCall(changes: Partial<EndedCall> = {}): EndedCall {
  return {
    subject: subjectOf(),
    startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    durationMs: 12.3456,
    host: 'payments.example',
    method: 'GET',
    target: '/',
    protocol: 'http2',
    status: 200,
    grpcStatus: -1,
    verdict: 'permit',
    reason: undefined,
    bytesIn: 5,
    bytesOut: 7,
    ...changes,
  };
}

/** What the line of `call` must say, as JSON gives it back. */
export function lineFactsOf(call: EndedCall): unknown {
  const { subject, startedAtMs, durationMs, target, grpcStatus, ...rest } = call;
  const line = {
    time: new Date(startedAtMs).toISOString(),
    ...subject.facts,
    ...rest,
    durationMs: Math.round(durationMs * 1000) / 1000,
    path: target.split('?', 1)[0],
    grpcStatus: grpcStatus < 0 ? undefined : grpcStatus,
  };
  const cut = (_key: string, value: unknown): unknown =>
    typeof value === 'string' && value.length > 8192 ? `${value.slice(0, 8192)}…` : value;
  const parsed: unknown = JSON.parse(JSON.stringify(line, cut));
  return parsed;
}

/** Names that configuration knows, for {@link scrapeLinesOf}. */
export interface Names {
  readonly peers: ReadonlySet<string>;
  readonly exports: ReadonlySet<string>;
}

const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const GRPC_CLIENT_CODES = new Set([1, 3, 5, 6, 7, 9, 11, 16]);

/** The samples that a scrape shows of `calls`, sorted: each call adds to its own. */
export function scrapeLinesOf(calls: readonly EndedCall[], names: Names): readonly string[] {
  const values = new Map<string, number>();
  const add = (sample: string, by: number): void => {
    values.set(sample, (values.get(sample) ?? 0) + by);
  };
  for (const call of calls) {
    const { direction } = call.subject.facts;
    const peer = known(call.subject.facts.peer, new Set([...names.peers, 'self']));
    const exported = known(call.subject.facts.export, names.exports);
    const pair = `peer="${peer}",export="${exported}"`;
    const labels = `direction="${direction}",${pair},outcome="${outcomeOf(call)}"`;
    const seconds = call.durationMs / 1000;
    add(`jumpgate_calls_total{${labels}}`, 1);
    for (const bound of BOUNDS) {
      add(`jumpgate_call_duration_seconds_bucket{le="${bound}",${labels}}`, seconds <= bound ? 1 : 0);
    }
    add(`jumpgate_call_duration_seconds_bucket{le="+Inf",${labels}}`, 1);
    add(`jumpgate_call_duration_seconds_sum{${labels}}`, seconds);
    add(`jumpgate_call_duration_seconds_count{${labels}}`, 1);
    add(`jumpgate_call_bytes_total{direction="${direction}",${pair},way="in"}`, call.bytesIn);
    add(`jumpgate_call_bytes_total{direction="${direction}",${pair},way="out"}`, call.bytesOut);
    if (call.verdict === 'error') continue;
    const reason = call.verdict === 'permit' ? 'none' : reasonOf(call.reason);
    add(`jumpgate_authz_decisions_total{${pair},result="${call.verdict}",reason="${reason}"}`, 1);
  }
  return [...values].map(([sample, value]) => `${sample} ${value}`).sort();
}

function known(name: string | undefined, names: ReadonlySet<string>): string {
  return name !== undefined && names.has(name) ? name : 'unknown';
}

function reasonOf(reason: string | undefined): string {
  return reason !== undefined && /^[a-z][a-z0-9-]{0,63}$/.test(reason) ? reason : 'unknown';
}

function outcomeOf({ verdict, status, grpcStatus }: EndedCall): string {
  if (verdict === 'denial') return 'denied';
  if (verdict === 'error') return 'failed';
  if (grpcStatus === 0) return 'ok';
  if (grpcStatus > 0) return GRPC_CLIENT_CODES.has(grpcStatus) ? 'client-error' : 'server-error';
  if (status >= 500) return 'server-error';
  return status >= 400 ? 'client-error' : 'ok';
}
