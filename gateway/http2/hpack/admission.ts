/** Which fields may enter an encoder's table: what comes again, and under pressure only as long as entries prove useful. */
import { type DynamicTable } from './dynamic-table.ts';

/** Hashes of what was sent lately and is not in the table. A power of two: as many distinct values later, a value counts as new. */
const RECENT = 128;

/** While the table is emptier than this part, everything enters: nothing can be lost by it. */
const FREE_PART = 1 / 2;

/** An entry that has gone unused makes so many more candidates wait before another may evict. */
const PATIENCE_STEP = 2;

/** After nothing but useless entries one candidate in so many still enters, so that a change of traffic is noticed. */
const PATIENCE_MAX = 64;

/**
 * Without it a path with an id in it, or a user's name in a header, would cost one insertion and one eviction for each
 * call, and push out the fields that do repeat.
 */
export class Admission {
  readonly #table: DynamicTable;
  readonly #recent = new Int32Array(RECENT);
  /** Whether an entry has been referred to, by the low bits of its id. */
  readonly #used: Uint8Array;
  #patience = 0;
  #waiting = 0;

  constructor(table: DynamicTable) {
    this.#table = table;
    let places = 1;
    // Names are at least one octet, so that there are never more entries than this.
    while (places * 32 < table.bytesMax) places *= 2;
    this.#used = new Uint8Array(places);
  }

  /** Notes that the entry of this age was referred to. */
  use(age: number): void {
    this.#used[(this.#table.nextId - 1 - age) & (this.#used.length - 1)] = 1;
  }

  /** Whether there is so much room that the entry enters whatever it is. */
  free(size: number): boolean {
    return this.#table.bytes + size <= this.#table.bytesMax * FREE_PART;
  }

  /** Whether this hash was asked for lately; from now on it was. */
  seen(hash: number): boolean {
    const place = (hash >>> 1) & (RECENT - 1);
    if (this.#recent[place] === hash) return true;
    this.#recent[place] = hash;
    return false;
  }

  /** Makes room for an entry of `size`; false if it has to wait, because those before it were of no use. */
  makeRoom(size: number): boolean {
    const table = this.#table;
    if (table.bytes + size > table.bytesMax) {
      if (this.#waiting > 0) {
        this.#waiting--;
        return false;
      }
      while (table.bytes + size > table.bytesMax && table.count > 0) this.#evictOldest();
      this.#waiting = this.#patience;
    }
    this.#used[table.nextId & (this.#used.length - 1)] = 0;
    return true;
  }

  #evictOldest(): void {
    const table = this.#table;
    const place = (table.nextId - table.count) & (this.#used.length - 1);
    if (this.#used[place] === 1) this.#patience >>= 1;
    else this.#patience = Math.min(this.#patience + PATIENCE_STEP, PATIENCE_MAX);
    table.evictTo(table.bytes - 1);
  }
}
