/** One quarantine as it is kept, and its row: the key of a row says what is meant, also where its value cannot be read. */
import { createHash } from 'node:crypto';

import { asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { patternDomain } from '../identity/match.ts';
import { type DistrustTarget, distrustKindOf, parseTarget } from './target.ts';

/** What somebody has distrusted, since when, until when, and why. */
export interface DistrustEntry extends DistrustTarget {
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  /** `undefined`: until it is lifted by hand. */
  readonly untilMs: number | undefined;
  /** For people; may be empty. */
  readonly reason: string;
  /** Who said so. */
  readonly by: string;
}

/** An entry, in force or lifted: of two records of one target the one with the higher revision is the newer. */
export interface DistrustRecord extends DistrustEntry {
  /** Counted on from the time of the first word, in milliseconds. 0 for what could not be read: anything that can be is newer. */
  readonly revision: number;
  /** `undefined` while it is in force. */
  readonly liftedMs: number | undefined;
}

/** Rows of quarantines begin so. */
export const DISTRUST_PREFIX = 'quarantine/';

/** A sentence, not a report. */
const REASON_CHARS_MAX = 256;
const BY_CHARS_MAX = 128;
/** The longest ID, a reason, and their escapes. */
const ROW_BYTES_MAX = 16 * 1024;
/** 9999-12-31: what is later is no time that anything here can show. */
const TIME_MS_MAX = 253_402_300_799_999;
/** What steers a terminal or breaks a line. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;

/** What is wrong with a reason, or `undefined`. */
export function reasonProblem(reason: string): string | undefined {
  return textProblem(reason, REASON_CHARS_MAX);
}

/**
 * The key of a target's row. An ID is too long for a key, and has capitals: its row is filed under its trust domain, by
 * its SHA-256.
 */
export function keyOf({ kind, name }: DistrustTarget): string {
  if (kind !== 'spiffe') return `${DISTRUST_PREFIX}${kind}/${name}`;
  const digest = createHash('sha256').update(name).digest('hex');
  return `${DISTRUST_PREFIX}${kind}/${patternDomain(name) ?? ''}/${digest}`;
}

/**
 * What a row is about, by its key alone: of an ID the key tells the trust domain only, and all of its workloads are meant
 * then. `undefined` for keys that this version does not know.
 */
export function targetOfKey(key: string): DistrustTarget | undefined {
  const [, kindText, name = '', digest] = /^quarantine\/([a-z]+)\/([^/]+)(?:\/([0-9a-f]{64}))?$/.exec(key) ?? [];
  const kind = distrustKindOf(kindText);
  if (kind === undefined || (digest !== undefined) !== (kind === 'spiffe')) return undefined;
  try {
    return parseTarget(kind, kind === 'spiffe' ? `spiffe://${name}/**` : name);
  } catch (error) {
    if (error instanceof JumpgateError) return undefined;
    throw error;
  }
}

/** The value of a record's row. */
export function writeRecord(record: DistrustRecord): string {
  const { kind, name, sinceMs, untilMs = null, reason, by, revision, liftedMs = null } = record;
  return JSON.stringify({ kind, name, sinceMs, untilMs, reason, by, revision, liftedMs });
}

/** Reads what stands under `key`; `undefined` for what is no record of that key. */
export function readRecord(key: string, value: string): DistrustRecord | undefined {
  try {
    const record = recordOf(asRecord(parseJson(value, { maxBytes: ROW_BYTES_MAX, maxDepth: 2 })) ?? {});
    return record !== undefined && keyOf(record) === key ? record : undefined;
  } catch (error) {
    if (error instanceof JumpgateError) return undefined;
    throw error;
  }
}

function recordOf(row: Readonly<Record<string, unknown>>): DistrustRecord | undefined {
  const kind = distrustKindOf(row['kind']);
  const { name, reason, by, revision, sinceMs } = row;
  const untilMs = row['untilMs'] ?? undefined;
  const liftedMs = row['liftedMs'] ?? undefined;
  if (kind === undefined || typeof name !== 'string') return undefined;
  if (typeof reason !== 'string' || textProblem(reason, REASON_CHARS_MAX) !== undefined) return undefined;
  if (typeof by !== 'string' || textProblem(by, BY_CHARS_MAX) !== undefined) return undefined;
  if (!isTime(sinceMs) || !isTime(untilMs ?? 0) || !isTime(liftedMs ?? 0)) return undefined;
  if (typeof revision !== 'number' || !Number.isSafeInteger(revision) || revision < 1) return undefined;
  const times = { sinceMs, untilMs: timeOf(untilMs), liftedMs: timeOf(liftedMs) };
  return { ...parseTarget(kind, name), ...times, reason, by, revision };
}

function textProblem(text: string, charsMax: number): string | undefined {
  if (text.length > charsMax) return `expected at most ${charsMax} characters, found ${text.length}`;
  return UNPRINTABLE.test(text) ? 'expected one line without control characters' : undefined;
}

function timeOf(value: unknown): number | undefined {
  return isTime(value) ? value : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= TIME_MS_MAX;
}
