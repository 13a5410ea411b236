/** The store's contract: opaque rows with compare-and-set and watch, the same for every engine. */
import { randomBytes } from 'node:crypto';
import { JumpgateError } from '../errors.ts';

/** Long enough for a prefix and any trust domain (255) or name; short enough to be read in a log line. */
const KEY_CHARS_MAX = 512;

/** A bundle of 100 authorities of the largest size takes less than half of this. */
export const VALUE_BYTES_MAX = 4 * 1024 * 1024;

/** Ten times the peers, bundles and invites of the largest federation planned for; more is a run-away writer. */
export const ROWS_MAX = 65_536;

/** One row as it was read. `version` is opaque, differs after every write, and never comes back, not even after a removal. */
export interface Row {
  readonly key: string;
  readonly value: string;
  readonly version: string;
}

/** What a writer believes to be stored: a row's version, `absent` (no such row), or `any` (whatever is there). */
export type Expected = string;

/** Outcome of {@link Store.put}. */
export type PutOutcome = { readonly kind: 'stored'; readonly version: string } | { readonly kind: 'conflict' };

/** Outcome of {@link Store.remove}. */
export type RemoveOutcome = 'removed' | 'conflict' | 'absent';

/** Told of a key that may have changed. It reads the row again if it cares. */
export type WatchListener = (key: string) => void;

/**
 * Rows by key. Keys match `[a-z0-9][a-z0-9._/-]*` and have at most {@link KEY_CHARS_MAX} characters, values at most
 * {@link VALUE_BYTES_MAX} bytes of UTF-8. Failures throw a JumpgateError with source `local`: `store-key-malformed`,
 * `store-value-malformed`, `store-full`, `store-busy`, `store-closed`, and by engine `store-unavailable` (try later)
 * or `file-unwritable`. After a failed write it is not known whether it took place: read again.
 */
export interface Store extends AsyncDisposable {
  /** The row, or `undefined`. A row that cannot be believed (corrupt, oversized) is logged and counts as absent. */
  get(key: string): Promise<Row | undefined>;
  /** Every row whose key starts with `prefix` (empty for all), in order of key. */
  list(prefix: string): Promise<readonly Row[]>;
  /** Writes the row if what is stored is as `expected`. */
  put(key: string, value: string, expected: Expected): Promise<PutOutcome>;
  /** Removes the row if what is stored is as `expected`: a version or `any`. */
  remove(key: string, expected: Expected): Promise<RemoveOutcome>;
  /**
   * Calls `listener` after every change of a key that starts with `prefix`, made here or by another process, at
   * the latest 30 s after it. Several changes may be told as one, and a call may come without a change.
   */
  watch(prefix: string, listener: WatchListener): Disposable;
}

/** Whether what is stored is what a writer believes. */
export function isExpected(row: Row | undefined, expected: Expected): boolean {
  return expected === 'any' || expected === (row?.version ?? 'absent');
}

/** Whether `key` is one that a store takes. */
export function isKey(key: string): boolean {
  return key.length <= KEY_CHARS_MAX && /^[a-z0-9][a-z0-9._/-]*$/.test(key);
}

/** Throws `store-key-malformed` unless `key` is one that a store takes. */
export function checkKey(key: string): void {
  if (isKey(key)) return;
  throw new JumpgateError(
    'store-key-malformed',
    `expected a key of lower-case letters, digits, '.', '_', '/' and '-' with at most ${KEY_CHARS_MAX} characters, ` +
      `found ${JSON.stringify(key.slice(0, KEY_CHARS_MAX))}`,
    { source: 'local' },
  );
}

/** Throws `store-value-malformed` unless `value` is at most `bytesMax` bytes of well-formed text. Returns its bytes. */
export function checkValue(key: string, value: string, bytesMax: number): number {
  const bytes = Buffer.byteLength(value);
  if (bytes > bytesMax) {
    throw new JumpgateError(
      'store-value-malformed',
      `expected a value of at most ${bytesMax} bytes for ${key}, found ${bytes}`,
      { source: 'local' },
    );
  }
  // A lone surrogate would come back from UTF-8 as another character.
  if (!value.isWellFormed()) {
    throw new JumpgateError('store-value-malformed', `expected well-formed text for ${key}, found a lone surrogate`, {
      source: 'local',
    });
  }
  return bytes;
}

/** A version that was never used before: 96 random bits, so that removing and writing again cannot bring one back. */
export function newVersion(): string {
  return randomBytes(12).toString('base64url');
}

/** The error of a write beyond {@link ROWS_MAX}. */
export function storeFull(): JumpgateError {
  return new JumpgateError('store-full', `expected at most ${ROWS_MAX} rows in the store; remove what is not needed`, {
    source: 'local',
    retry: 'later',
  });
}

/** The error of every operation after disposal. */
export function storeClosed(): JumpgateError {
  return new JumpgateError('store-closed', 'the store was used after it was closed', { source: 'local' });
}
