/** A row with its revision, as a remembered store keeps it in the shared store and on this machine. */

/** The newest word about a key. */
export interface RememberedRow {
  /**
   * Higher after every write, wherever it is made, and never below the time of the write in milliseconds since 1970: so
   * a row stands above all that were forgotten before.
   */
  readonly revision: number;
  /** `undefined`: the row was removed. */
  readonly value: string | undefined;
}

/** The most that {@link writeRememberedRow} adds to a value: the longest integer, the word and its marks. */
export const REVISION_BYTES_MAX = 24;

/** `<revision> set\n<value>`, or `<revision> gone\n`. */
export function writeRememberedRow({ revision, value }: RememberedRow): string {
  return value === undefined ? `${revision} gone\n` : `${revision} set\n${value}`;
}

/** Reads it; `undefined` for what is no such row. */
export function readRememberedRow(text: string): RememberedRow | undefined {
  const [header = '', digits = '', word] =
    /^([1-9]\d{0,15}) (set|gone)\n/.exec(text.slice(0, REVISION_BYTES_MAX)) ?? [];
  const revision = Number(digits);
  if (word === undefined || !Number.isSafeInteger(revision)) return undefined;
  const value = text.slice(header.length);
  if (word === 'gone') return value === '' ? { revision, value: undefined } : undefined;
  return { revision, value };
}

/** What to write after `before`. */
export function nextRow(before: RememberedRow | undefined, value: string | undefined, nowMs: number): RememberedRow {
  return { revision: Math.max((before?.revision ?? 0) + 1, Math.floor(nowMs)), value };
}

/** Whether `row` is a later word than `known`. Of one revision all replicas believe the same: a removal first. */
export function isLater(row: RememberedRow, known: RememberedRow | undefined): boolean {
  if (known === undefined) return true;
  if (row.revision !== known.revision) return row.revision > known.revision;
  if (row.value === undefined || known.value === undefined) return row.value === undefined && known.value !== undefined;
  return row.value > known.value;
}
