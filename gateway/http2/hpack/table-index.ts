/** Finds entries of a dynamic table by content: ids in small buckets, by a hash that the field carries with it. */
import { type Field, type FieldName } from '../../message/field.ts';
import { type DynamicTable } from './dynamic-table.ts';
import { sameField } from './indexing.ts';

/** Ids in a bucket. With more entries of one bucket than that, the oldest is not found any more, and so sent anew. */
const BUCKET = 4;

/** An entry of ordinary size; the buckets are twice as many ids as such entries fit the table. */
const ENTRY_BYTES = 64;

/**
 * Any number of encoders find the same field object without a trace of them on it. An id may be out of date: what it leads
 * to is compared, and what has gone from the table is not found.
 */
export class TableIndex {
  readonly #table: DynamicTable;
  readonly #ids: Int32Array;
  readonly #bucketMask: number;

  constructor(table: DynamicTable) {
    this.#table = table;
    let buckets = 16;
    while (buckets * BUCKET * ENTRY_BYTES < table.bytesMax * 2) buckets *= 2;
    this.#bucketMask = buckets - 1;
    this.#ids = new Int32Array(buckets * BUCKET);
  }

  /** Age of the entry that is the same field; -1 when there is none. */
  findField(field: Field): number {
    const table = this.#table;
    const start = ((field.hash >>> 1) & this.#bucketMask) * BUCKET;
    for (let i = start; i < start + BUCKET; i++) {
      const age = table.age(this.#ids[i] ?? 0);
      if (age < 0) continue;
      const entry = table.at(age);
      if (entry !== undefined && sameField(entry, field)) return age;
    }
    return -1;
  }

  /** Age of the newest entry known with that name; -1 when there is none. */
  findName(name: FieldName): number {
    const table = this.#table;
    const start = ((name.hash >>> 1) & this.#bucketMask) * BUCKET;
    for (let i = start; i < start + BUCKET; i++) {
      const age = table.age(this.#ids[i] ?? 0);
      if (age < 0) continue;
      const entry = table.at(age);
      if (entry !== undefined && (entry.name === name || entry.name.text === name.text)) return age;
    }
    return -1;
  }

  /** Notes that the next entry of the table can be found by `hash`: in the place of one that has gone, or of the oldest. */
  note(hash: number): void {
    const start = ((hash >>> 1) & this.#bucketMask) * BUCKET;
    let oldest = start;
    let oldestAge = -1;
    for (let i = start; i < start + BUCKET; i++) {
      const age = this.#table.age(this.#ids[i] ?? 0);
      if (age < 0 || age >= this.#table.count) {
        oldest = i;
        break;
      }
      if (age > oldestAge) {
        oldest = i;
        oldestAge = age;
      }
    }
    this.#ids[oldest] = this.#table.nextId;
  }
}
