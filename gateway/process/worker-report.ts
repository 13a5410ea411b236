/** What a worker tells of itself, and the strict reading of it: a worker has parsed what strangers sent. */
import { asList, asRecord } from '../../base/brand.ts';
import { type LinkStatus } from '../admin/operations.ts';
import { type DialFailure } from '../link/dial.ts';
import { type CallCounts, type CallRow, type DenialRow, LATENCY_BUCKETS, OUTCOMES } from '../telemetry/call-counts.ts';

/** See the head of this file. */
export interface WorkerReport {
  readonly links: readonly LinkStatus[];
  readonly failures: readonly DialFailure[];
  /** Lines of the access log that were dropped since the worker started. */
  readonly dropped: number;
  /** Since the worker started. */
  readonly counts: CallCounts;
}

/** More than linksPerPeer x peers of a large mesh; a worker that says more is not believed. */
const LINKS_MAX = 100_000;
/** Rows of counts, whose labels come from closed sets. */
const ROWS_MAX = 200_000;
const TEXT_LENGTH_MAX = 4_096;
const DIRECTIONS = ['outbound', 'inbound', 'edge'] as const;

/** Reads a report; `undefined` for what does not fit. */
export function readReport(value: unknown): WorkerReport | undefined {
  const record = asRecord(value) ?? {};
  const links = all(record['links'], LINKS_MAX, isLink);
  const failures = all(record['failures'], LINKS_MAX, isFailure);
  const counts = asRecord(record['counts']) ?? {};
  const calls = all(counts['calls'], ROWS_MAX, isCallRow);
  const denials = all(counts['denials'], ROWS_MAX, isDenialRow);
  const { dropped } = record;
  if (links === undefined || failures === undefined || calls === undefined || denials === undefined) return undefined;
  return isAmount(dropped) ? { links, failures, dropped, counts: { calls, denials } } : undefined;
}

function all<T>(value: unknown, max: number, is: (item: unknown) => item is T): readonly T[] | undefined {
  const listed = asList(value);
  if (listed === undefined || listed.length > max) return undefined;
  const read = listed.filter(is);
  return read.length === listed.length ? read : undefined;
}

function isLink(value: unknown): value is LinkStatus {
  const { peer, direction, instance, address, state, since, expiresAt, reproves, calls } = asRecord(value) ?? {};
  return (
    [peer, address, state, since, expiresAt].every(isText) &&
    (instance === null || isText(instance)) &&
    (direction === 'outbound' || direction === 'inbound') &&
    typeof reproves === 'boolean' &&
    isAmount(calls)
  );
}

function isFailure(value: unknown): value is DialFailure {
  const { peer, address, code, message } = asRecord(value) ?? {};
  return [peer, address, code, message].every(isText);
}

function isCallRow(value: unknown): value is CallRow {
  const { direction, peer, export: exported, outcome, buckets, seconds, bytesIn, bytesOut } = asRecord(value) ?? {};
  const listed = asList(buckets) ?? [];
  return (
    [peer, exported].every(isText) &&
    DIRECTIONS.some((each) => each === direction) &&
    OUTCOMES.some((each) => each === outcome) &&
    listed.length === LATENCY_BUCKETS.length + 1 &&
    [...listed, seconds, bytesIn, bytesOut].every(isAmount)
  );
}

function isDenialRow(value: unknown): value is DenialRow {
  const { peer, export: exported, reason, count } = asRecord(value) ?? {};
  return [peer, exported, reason].every(isText) && isAmount(count);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
