/** The dynamic table of HPACK (RFC 7541 §2.3.2, §4): a ring of fields, the oldest evicted first. */
import { Field, FieldName } from '../../message/field.ts';

/** SETTINGS_HEADER_TABLE_SIZE before anyone says otherwise, bytes (RFC 9113 §6.5.2). */
export const TABLE_BYTES_DEFAULT = 4096;

/** What an entry counts beside its name and value, bytes (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

/** First length of the ring, entries; it doubles on demand, so that idle connections are small. A power of two. */
const RING_ENTRIES_FIRST = 32;

/** Stands where an entry was, so that the entry can be collected. */
const EVICTED = new Field(new FieldName(''), '');

/** Entries have ids that count up (32 bits, wrapping), and ages: 0 is the newest. */
export class DynamicTable {
  /** The size that entries may add up to. */
  bytesMax: number;
  bytes = 0;
  count = 0;
  /** The id that the next entry gets. */
  nextId = 0;
  #ring: Field[] = new Array<Field>(RING_ENTRIES_FIRST).fill(EVICTED);
  #mask = RING_ENTRIES_FIRST - 1;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The entry of an age; `undefined` when there is none. */
  at(age: number): Field | undefined {
    return age < this.count ? this.#ring[(this.nextId - 1 - age) & this.#mask] : undefined;
  }

  /** Age of the entry with this id: below 0 or not below `count` when it has gone. */
  age(id: number): number {
    return (this.nextId - 1 - id) | 0;
  }

  /** Takes an entry in, evicting others; one that is larger than the table empties it (RFC 7541 §4.4). */
  insert(field: Field): void {
    const size = field.name.text.length + field.value.length + ENTRY_OVERHEAD_BYTES;
    this.evictTo(this.bytesMax - size);
    if (size > this.bytesMax) return;
    if (this.count > this.#mask) this.#grow();
    this.#ring[this.nextId & this.#mask] = field;
    this.nextId = (this.nextId + 1) | 0;
    this.bytes += size;
    this.count++;
  }

  /** Evicts until the entries have at most so many bytes. */
  evictTo(bytes: number): void {
    while (this.bytes > bytes && this.count > 0) {
      const place = (this.nextId - this.count) & this.#mask;
      const oldest = this.#ring[place] ?? EVICTED;
      this.bytes -= oldest.name.text.length + oldest.value.length + ENTRY_OVERHEAD_BYTES;
      this.#ring[place] = EVICTED;
      this.count--;
    }
  }

  /** Changes the size and evicts what no longer fits. */
  resize(bytesMax: number): void {
    this.bytesMax = bytesMax;
    this.evictTo(bytesMax);
  }

  #grow(): void {
    const mask = this.#mask * 2 + 1;
    const ring = new Array<Field>(mask + 1).fill(EVICTED);
    for (let age = 0; age < this.count; age++) ring[(this.nextId - 1 - age) & mask] = this.at(age) ?? EVICTED;
    this.#ring = ring;
    this.#mask = mask;
  }
}
