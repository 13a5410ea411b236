/** Encodes header blocks (RFC 7541 §6) field by field; what repeats is one or two octets, what does not never enters the table. */
import { type Field, type FieldName } from '../../message/field.ts';
import { Admission } from './admission.ts';
import { DynamicTable, ENTRY_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT } from './dynamic-table.ts';
import { huffmanBytes, writeHuffman } from './huffman-encode.ts';
import { deriveField, deriveName, INDEXING } from './indexing.ts';
import { INTEGER_BYTES_MAX, type Prefix, writeInteger } from './integer.ts';
import { STATIC_ENTRIES } from './static-table.ts';
import { TableIndex } from './table-index.ts';

/** Bytes that `begin` writes at most: two size updates. */
export const BEGIN_BYTES_MAX: number = 2 * INTEGER_BYTES_MAX;

/** A larger part of the table is not given to one entry. */
const ENTRY_PART_MAX = 3 / 4;

/** From so many characters on the call out of JavaScript is cheaper than a loop. */
const WRITE_CHARS_MIN = 16;

const INDEXED: Prefix = { pattern: 0x80, mask: 0x7f };
const INCREMENTAL: Prefix = { pattern: 0x40, mask: 0x3f };
const SIZE_UPDATE: Prefix = { pattern: 0x20, mask: 0x1f };
const NEVER_INDEXED: Prefix = { pattern: 0x10, mask: 0x0f };
const NOT_INDEXED: Prefix = { pattern: 0x00, mask: 0x0f };
const RAW: Prefix = { pattern: 0x00, mask: 0x7f };
const HUFFMAN: Prefix = { pattern: 0x80, mask: 0x7f };

/** The encoder of one direction of one connection. What it has encoded must be sent, in that order. */
export class HpackEncoder {
  readonly #bytesMax: number;
  readonly #table: DynamicTable;
  readonly #fields: TableIndex;
  readonly #names: TableIndex;
  readonly #admission: Admission;
  /** The size that the other end must be told, and the smallest since the last block; -1 when it knows. */
  #sizeNext = -1;
  #sizeLeast = -1;

  /** @param tableBytesMax the table that is used at most, bytes, whatever the other end permits */
  constructor(tableBytesMax: number) {
    this.#bytesMax = tableBytesMax;
    // The indexes are made for the largest table, which shrinks to the default before anything enters it.
    this.#table = new DynamicTable(tableBytesMax);
    this.#fields = new TableIndex(this.#table);
    this.#names = new TableIndex(this.#table);
    this.#admission = new Admission(this.#table);
    this.#table.resize(TABLE_BYTES_DEFAULT);
    this.setTableLimit(TABLE_BYTES_DEFAULT);
  }

  /** The other end's SETTINGS_HEADER_TABLE_SIZE. The next block tells it what has become of the table. */
  setTableLimit(bytes: number): void {
    const size = Math.min(bytes, this.#bytesMax);
    if (this.#sizeNext < 0 && size === this.#table.bytesMax) return;
    this.#sizeLeast = this.#sizeNext < 0 ? size : Math.min(this.#sizeLeast, size);
    this.#sizeNext = size;
  }

  /** Upper bound of the bytes that `encode` writes for a field. */
  bytesMax(field: Field): number {
    return field.name.text.length + field.value.length + 3 * INTEGER_BYTES_MAX;
  }

  /** Begins a block at `at` of `into`, which has `BEGIN_BYTES_MAX` left; returns the offset behind what it wrote. */
  begin(into: Buffer, at: number): number {
    if (this.#sizeNext < 0) return at;
    let to = at;
    if (this.#sizeLeast < Math.min(this.#sizeNext, this.#table.bytesMax)) {
      to = writeInteger(this.#sizeLeast, SIZE_UPDATE, into, to);
      this.#table.evictTo(this.#sizeLeast);
    }
    to = writeInteger(this.#sizeNext, SIZE_UPDATE, into, to);
    this.#table.resize(this.#sizeNext);
    this.#sizeNext = -1;
    return to;
  }

  /** Writes a field at `at` of `into`, which has `bytesMax` of it left; returns the offset behind. */
  encode(field: Field, into: Buffer, at: number): number {
    const { name } = field;
    if (name.indexing === INDEXING.underived) deriveName(name);
    if (field.sensitive || name.indexing === INDEXING.secret) {
      const index = this.#nameIndex(name);
      return writeRest(field, index, into, writeInteger(index, NEVER_INDEXED, into, at));
    }
    if (name.indexing === INDEXING.volatile) return this.#encodeVolatile(field, into, at);
    if (field.hash === 0) deriveField(field);
    if (field.staticIndex > 0) {
      into[at] = 0x80 | field.staticIndex;
      return at + 1;
    }
    const age = this.#fields.findField(field);
    if (age < 0) return this.#encodeNew(field, into, at);
    this.#admission.use(age);
    return writeIndexed(age + STATIC_ENTRIES + 1, into, at);
  }

  /** A value that the table does not have. */
  #encodeNew(field: Field, into: Buffer, at: number): number {
    const { name } = field;
    const index = this.#nameIndex(name);
    const size = name.text.length + field.value.length + ENTRY_OVERHEAD_BYTES;
    const admission = this.#admission;
    // A name that the table does not have is worth an entry by itself; so either may have been seen.
    const worth = admission.free(size) || admission.seen(field.hash) || (index === 0 && admission.seen(name.hash));
    return worth && this.#enter(field, size)
      ? writeEntry(field, index, into, at)
      : writeRest(field, index, into, writeInteger(index, NOT_INDEXED, into, at));
  }

  /** Values that do not come again; the first enters if the name has no index without it. */
  #encodeVolatile(field: Field, into: Buffer, at: number): number {
    const { name } = field;
    const index = this.#nameIndex(name);
    if (index === 0) {
      if (field.hash === 0) deriveField(field);
      const size = name.text.length + field.value.length + ENTRY_OVERHEAD_BYTES;
      if (this.#enter(field, size)) return writeEntry(field, index, into, at);
    }
    return writeRest(field, index, into, writeInteger(index, NOT_INDEXED, into, at));
  }

  #nameIndex(name: FieldName): number {
    if (name.staticIndex > 0) return name.staticIndex;
    const age = this.#names.findName(name);
    if (age < 0) return 0;
    this.#admission.use(age);
    return age + STATIC_ENTRIES + 1;
  }

  /** Puts a field into the table; false if it is too large or has to wait. */
  #enter(field: Field, size: number): boolean {
    if (size > this.#table.bytesMax * ENTRY_PART_MAX || !this.#admission.makeRoom(size)) return false;
    this.#fields.note(field.hash);
    if (field.name.staticIndex === 0) this.#names.note(field.name.hash);
    this.#table.insert(field);
    return true;
  }
}

function writeIndexed(index: number, into: Buffer, at: number): number {
  if (index >= INDEXED.mask) return writeInteger(index, INDEXED, into, at);
  into[at] = INDEXED.pattern | index;
  return at + 1;
}

/** An entry for the table: Huffman where that is shorter, since it is paid for once. `index` is of the name, or 0. */
function writeEntry(field: Field, index: number, into: Buffer, at: number): number {
  let to = writeInteger(index, INCREMENTAL, into, at);
  if (index === 0) to = writeShortest(field.name.text, into, to);
  return writeShortest(field.value, into, to);
}

/** A literal behind its name's index, which is written. Never Huffman: it would be paid for at both ends of every call. */
function writeRest(field: Field, index: number, into: Buffer, at: number): number {
  const to = index === 0 ? writeRaw(field.name.text, into, at) : at;
  return writeRaw(field.value, into, to);
}

function writeShortest(text: string, into: Buffer, at: number): number {
  const bytes = huffmanBytes(text);
  if (bytes >= text.length) return writeRaw(text, into, at);
  return writeHuffman(text, into, writeInteger(bytes, HUFFMAN, into, at));
}

function writeRaw(text: string, into: Buffer, at: number): number {
  const { length } = text;
  const to = writeInteger(length, RAW, into, at);
  if (length >= WRITE_CHARS_MIN) into.write(text, to, 'latin1');
  else for (let i = 0; i < length; i++) into[to + i] = text.charCodeAt(i);
  return to + length;
}
