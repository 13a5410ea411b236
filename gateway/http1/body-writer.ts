/** Writes a body with the framing that its head announced (RFC 9112 §6, §7.1). */
import { type Field } from '../message/field.ts';
import { type Output } from '../message/output.ts';
import { fieldsBound, writeField } from './fields-writer.ts';
import { writeText } from './octets.ts';
import { CHUNKED } from './request-head.ts';
import { isBarred } from './trailer-fields.ts';

/** Room for a chunk's size and line end. */
const CHUNK_LINE_BYTES = 16;

/** Chunks up to this size are written whole in one place. */
const SMALL_CHUNK_BYTES = 1024;

const HEX = '0123456789abcdef';

/** Writes one body after another. */
export class BodyWriter {
  readonly #output: Output;
  #length = 0;
  #left = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Makes ready for a body of `length` bytes, CHUNKED or UNTIL_CLOSE. */
  begin(length: number): void {
    this.#length = length;
    this.#left = length;
  }

  /** Adds bytes, the last ones with `end`. False when they are more or fewer than announced: the connection is then lost. */
  write(bytes: Uint8Array, end: boolean): boolean {
    if (this.#length === CHUNKED) {
      if (bytes.length > 0) this.#chunk(bytes);
      return !end || this.finish([]);
    }
    if (this.#length >= 0) {
      if (bytes.length > this.#left) return false;
      this.#left -= bytes.length;
    }
    if (bytes.length > 0) this.#output.append(bytes);
    return !end || this.#left <= 0;
  }

  /** Ends the body. False when bytes are missing. Trailers are dropped where there are no chunks, or if they cannot be written. */
  finish(trailers: readonly Field[]): boolean {
    if (this.#length !== CHUNKED) return this.#left <= 0;
    const output = this.#output;
    const into = output.reserve(fieldsBound(trailers) + CHUNK_LINE_BYTES);
    let at = writeText(into, output.end, '0\r\n');
    for (const { name, value } of trailers) {
      const next = isBarred(name.text) ? -1 : writeField(into, at, name.text, value);
      if (next > 0) at = next;
    }
    output.end = writeText(into, at, '\r\n');
    return true;
  }

  #chunk(bytes: Uint8Array): void {
    const output = this.#output;
    const isSmall = bytes.length <= SMALL_CHUNK_BYTES;
    const into = output.reserve(CHUNK_LINE_BYTES + (isSmall ? bytes.length : 0));
    let at = writeText(into, writeSize(into, output.end, bytes.length), '\r\n');
    if (isSmall) {
      into.set(bytes, at);
      at += bytes.length;
      output.end = writeText(into, at, '\r\n');
      return;
    }
    output.end = at;
    output.append(bytes);
    const after = output.reserve(2);
    output.end = writeText(after, output.end, '\r\n');
  }
}

function writeSize(into: Buffer, start: number, size: number): number {
  let digits = 1;
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 16)) digits += 1;
  let rest = size;
  for (let at = start + digits - 1; at >= start; at -= 1) {
    into[at] = HEX.charCodeAt(rest % 16);
    rest = Math.floor(rest / 16);
  }
  return start + digits;
}
