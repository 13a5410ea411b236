/** What calls add up to, as plain data: what a worker sends, what several make together, what the metrics show. */
import { type CallSubjectFacts, type EndedCall } from './call-subject.ts';

/** How a call ended, as a label. `denied` is policy's, `failed` the gateway's, the others the service's answer. */
export type CallOutcome = (typeof OUTCOMES)[number];

/** By the index that {@link outcomeIndex} gives. */
export const OUTCOMES = ['ok', 'client-error', 'server-error', 'denied', 'failed'] as const;

/** From a call next door to one across an ocean that waits for a slow service; seconds. */
export const LATENCY_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** Calls with the same labels, of which there was at least one. */
export interface CallRow {
  readonly direction: CallSubjectFacts['direction'];
  readonly peer: string;
  readonly export: string;
  readonly outcome: CallOutcome;
  /** Calls by {@link LATENCY_BUCKETS}, each call in one bucket only; the last is for those beyond. */
  readonly buckets: readonly number[];
  readonly seconds: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Denials by reason. Permits are the calls with the outcomes of the service. */
export interface DenialRow {
  readonly peer: string;
  readonly export: string;
  readonly reason: string;
  readonly count: number;
}

/** All counts since the start; goes through `structuredClone` and JSON unchanged. */
export interface CallCounts {
  readonly calls: readonly CallRow[];
  readonly denials: readonly DenialRow[];
}

/** gRPC codes that blame the caller, as bits: CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED. */
const GRPC_CLIENT_CODES = (1 << 1) | (1 << 3) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 9) | (1 << 11) | (1 << 16);
const GRPC_CODE_MAX = 16;

/** Index in {@link OUTCOMES}. For gRPC the trailers decide, since its HTTP status is 200 whatever happened. */
export function outcomeIndex(call: Pick<EndedCall, 'verdict' | 'status' | 'grpcStatus'>): number {
  if (call.verdict === 'denial') return 3;
  if (call.verdict === 'error') return 4;
  const { status, grpcStatus } = call;
  if (grpcStatus < 0) return status < 400 ? 0 : status < 500 ? 1 : 2;
  if (grpcStatus === 0) return 0;
  return grpcStatus <= GRPC_CODE_MAX && (GRPC_CLIENT_CODES >>> grpcStatus) & 1 ? 1 : 2;
}

/** The sum of several workers' counts. Rows stand where the first worker that has them puts them. */
export function mergeCounts(list: readonly CallCounts[]): CallCounts {
  const calls = new Map<string, CallRow>();
  const denials = new Map<string, DenialRow>();
  for (const counts of list) {
    for (const row of counts.calls) {
      // No label holds a space: names are checked by configuration, the others are ours.
      const key = `${row.direction} ${row.outcome} ${row.peer} ${row.export}`;
      const before = calls.get(key);
      calls.set(key, before === undefined ? row : sumOf(before, row));
    }
    for (const row of counts.denials) {
      const key = `${row.reason} ${row.peer} ${row.export}`;
      denials.set(key, { ...row, count: row.count + (denials.get(key)?.count ?? 0) });
    }
  }
  return { calls: [...calls.values()], denials: [...denials.values()] };
}

function sumOf(a: CallRow, b: CallRow): CallRow {
  return {
    ...a,
    buckets: a.buckets.map((count, index) => count + (b.buckets[index] ?? 0)),
    seconds: a.seconds + b.seconds,
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
  };
}
