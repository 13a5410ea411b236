/** Decodes header blocks (RFC 7541 §3, §6) within limits: a field from a table is the same object each time. */
import { Field, type FieldName } from '../../message/field.ts';
import { DynamicTable, ENTRY_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT } from './dynamic-table.ts';
import { decodeHuffman, huffmanRoom } from './huffman-decode.ts';
import { isSecret } from './indexing.ts';
import { IntegerReader } from './integer.ts';
import { NameMemo } from './name-memo.ts';
import { RecentFields } from './recent-fields.ts';
import { STATIC_ENTRIES, STATIC_TABLE } from './static-table.ts';
import { textOf } from './text.ts';

/** What one block may hold. */
export interface BlockLimits {
  /** Bytes of all names and values, and 4 for each field. Every field counts, also each crumb of a cookie. */
  readonly bytesMax: number;
  readonly fieldsMax: number;
  /** Bytes of one name; a longer one is `limit-header-bytes`. */
  readonly nameBytesMax: number;
}

/** What a field counts beside its name and value, bytes: ": " and the line end. */
const FIELD_OVERHEAD_BYTES = 4;

/** A smaller size on the way to the final one (RFC 7541 §4.2). */
const SIZE_UPDATES_MAX = 2;

/** Room for one decoded string, bytes; a longer one gets a buffer of its own. */
const SCRATCH_BYTES = 2048;

/** The decoder of one direction of one connection. */
export class HpackDecoder {
  /** The fields of the last block in the order of the wire; a new array for each. */
  fields: Field[] = [];
  /** Which limit the last block passed. The fields before that stand in `fields`, and the table is right. */
  overrun: undefined | 'limit-header-bytes' | 'limit-header-fields';
  readonly #table: DynamicTable;
  readonly #recent = new RecentFields();
  readonly #integers = new IntegerReader();
  readonly #names = new NameMemo();
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #sizeMax: number;
  #updateDue = false;
  #bytes = 0;
  #nameBytes = 0;
  #text: Buffer = this.#scratch;
  #textFrom = 0;
  #textTo = 0;

  /** @param tableBytesMax the SETTINGS_HEADER_TABLE_SIZE that is advertised; below 4096 it is taken to be in force. */
  constructor(tableBytesMax: number) {
    this.#sizeMax = tableBytesMax;
    this.#table = new DynamicTable(Math.min(tableBytesMax, TABLE_BYTES_DEFAULT));
  }

  /**
   * Changes the limit when the other end has acknowledged another SETTINGS_HEADER_TABLE_SIZE. If its table is larger than
   * that, its next block must begin with a size update (RFC 7541 §4.2).
   */
  setTableLimit(bytes: number): void {
    this.#sizeMax = bytes;
    this.#updateDue = bytes < this.#table.bytesMax;
  }

  /** Decodes one complete header block into `fields` and `overrun`. False for COMPRESSION_ERROR: the connection is lost. */
  decode(block: Buffer, start: number, end: number, limits: BlockLimits): boolean {
    const fields: Field[] = [];
    this.fields = fields;
    this.overrun = undefined;
    this.#bytes = 0;
    this.#integers.at = start;
    if (!this.#readSizeUpdates(block, end)) return false;
    let at = this.#integers.at;
    while (at < end) {
      const octet = block[at] ?? 0;
      if (octet < 0x80 || octet === 0xff) {
        this.#integers.at = at;
        if (!this.#readSlow(octet, block, end, limits)) return false;
        at = this.#integers.at;
        continue;
      }
      const field = this.#entry(octet & 0x7f);
      if (field === undefined) return false;
      at++;
      if (this.#admit(field.name.text.length, field.value.length, limits)) fields.push(field);
    }
    // The block must not be kept alive by the last string.
    this.#text = this.#scratch;
    return true;
  }

  #entry(index: number): Field | undefined {
    if (index > STATIC_ENTRIES) return this.#table.at(index - STATIC_ENTRIES - 1);
    return index > 0 ? STATIC_TABLE[index] : undefined;
  }

  /** Counts a field; whether it is within the limits. */
  #admit(nameBytes: number, valueBytes: number, limits: BlockLimits): boolean {
    if (this.overrun !== undefined) return false;
    this.#bytes += nameBytes + valueBytes + FIELD_OVERHEAD_BYTES;
    if (this.#bytes > limits.bytesMax || nameBytes > limits.nameBytesMax) this.overrun = 'limit-header-bytes';
    else if (this.fields.length >= limits.fieldsMax) this.overrun = 'limit-header-fields';
    else return true;
    return false;
  }

  #readSizeUpdates(block: Buffer, end: number): boolean {
    for (let updates = 0; this.#integers.at < end; updates++) {
      if (((block[this.#integers.at] ?? 0) & 0xe0) !== 0x20) break;
      const bytes = this.#integers.read(block, end, 0x1f);
      if (bytes < 0 || bytes > this.#sizeMax || updates === SIZE_UPDATES_MAX) return false;
      this.#table.resize(bytes);
      this.#updateDue = false;
    }
    return !this.#updateDue;
  }

  #readSlow(octet: number, block: Buffer, end: number, limits: BlockLimits): boolean {
    if (octet === 0xff) {
      const field = this.#entry(this.#integers.read(block, end, 0x7f));
      if (field === undefined) return false;
      if (this.#admit(field.name.text.length, field.value.length, limits)) this.fields.push(field);
      return true;
    }
    if (octet >= 0x40) return this.#readLiteral(block, end, limits, true);
    // A size update is an error behind the first field.
    return octet < 0x20 && this.#readLiteral(block, end, limits, false);
  }

  /** A literal: whether it enters the table or not, its strings are made only if the table or the limits have room for them. */
  #readLiteral(block: Buffer, end: number, limits: BlockLimits, indexed: boolean): boolean {
    const never = !indexed && ((block[this.#integers.at] ?? 0) & 0x10) !== 0;
    const index = this.#integers.read(block, end, indexed ? 0x3f : 0x0f);
    if (index < 0) return false;
    const entryBytesMax = indexed ? this.#table.bytesMax - ENTRY_OVERHEAD_BYTES : -1;
    let name: FieldName | undefined;
    if (index > 0) {
      name = this.#entry(index)?.name;
      if (name === undefined) return false;
      this.#nameBytes = name.text.length;
    } else {
      if (!this.#readText(block, end)) return false;
      name = this.#literalName(limits, entryBytesMax);
    }
    const nameBytes = this.#nameBytes;
    if (!this.#readText(block, end)) return false;
    const valueBytes = this.#textTo - this.#textFrom;
    const admitted = this.#admit(nameBytes, valueBytes, limits);
    const entered = nameBytes + valueBytes <= entryBytesMax;
    if (name !== undefined && (admitted || entered)) {
      const field = this.#literal(name, never, indexed);
      if (admitted) this.fields.push(field);
      if (entered) this.#table.insert(field);
    }
    if (indexed && !entered) this.#table.evictTo(0);
    return true;
  }

  /** The field of this name with the value in `#text`. */
  #literal(name: FieldName, never: boolean, indexed: boolean): Field {
    const secret = never || isSecret(name);
    return indexed || secret
      ? new Field(name, textOf(this.#text, this.#textFrom, this.#textTo), secret)
      : this.#recent.field(name, this.#text, this.#textFrom, this.#textTo);
  }

  /** The name in `#text`; `undefined` if neither the limits nor the table can take it. */
  #literalName(limits: BlockLimits, entryBytesMax: number): FieldName | undefined {
    const bytes = this.#textTo - this.#textFrom;
    this.#nameBytes = bytes;
    const wanted = this.overrun === undefined && bytes <= limits.nameBytesMax && bytes <= limits.bytesMax;
    return wanted || bytes <= entryBytesMax ? this.#names.name(this.#text, this.#textFrom, this.#textTo) : undefined;
  }

  /** A string literal, to `#text`: a slice of the block or the scratch. */
  #readText(block: Buffer, end: number): boolean {
    const huffman = (block[this.#integers.at] ?? 0) >= 0x80;
    const length = this.#integers.read(block, end, 0x7f);
    const from = this.#integers.at;
    if (length < 0 || length > end - from) return false;
    this.#integers.at = from + length;
    if (!huffman) {
      this.#text = block;
      this.#textFrom = from;
      this.#textTo = from + length;
      return true;
    }
    const room = huffmanRoom(length);
    this.#text = room <= SCRATCH_BYTES ? this.#scratch : Buffer.allocUnsafeSlow(room);
    this.#textFrom = 0;
    this.#textTo = decodeHuffman(block, from, from + length, this.#text);
    return this.#textTo >= 0;
  }
}
