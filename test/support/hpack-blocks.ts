/** Blocks of HPACK in tests: as hex, as pairs, and through an encoder. */
import { type BlockLimits, type HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { BEGIN_BYTES_MAX, type HpackEncoder } from '../../gateway/http2/hpack/encoder.ts';
import { type Field } from '../../gateway/message/field.ts';

export const ROOMY: BlockLimits = { bytesMax: 1_000_000, fieldsMax: 10_000, nameBytesMax: 100_000 };

/** Decodes hex (spaces allowed), standing in the middle of a larger buffer as blocks do. */
export function decodeHex(decoder: HpackDecoder, hex: string, limits: BlockLimits = ROOMY): boolean {
  const block = Buffer.from(`ffff${hex.replaceAll(' ', '')}8282`, 'hex');
  return decoder.decode(block, 2, block.length - 2, limits);
}

export function pairs(fields: readonly Field[]): readonly string[] {
  return fields.map(({ name, value }) => `${name.text}: ${value}`);
}

/** One block, checked against the bound that the encoder promises for each field. */
export function encodeBlock(encoder: HpackEncoder, fields: readonly Field[]): Buffer {
  const room = fields.reduce((sum, each) => sum + encoder.bytesMax(each), BEGIN_BYTES_MAX);
  const into = Buffer.alloc(room);
  let at = encoder.begin(into, 0);
  if (at > BEGIN_BYTES_MAX) throw new Error(`size updates took ${at} bytes`);
  for (const each of fields) {
    const next = encoder.encode(each, into, at);
    if (next - at > encoder.bytesMax(each)) throw new Error(`${each.name.text} took ${next - at} bytes`);
    at = next;
  }
  return into.subarray(0, at);
}

/** A string literal without Huffman, as hex. */
export function rawHex(text: string): string {
  const { length } = text;
  const size = length < 127 ? [length] : [127, ((length - 127) & 0x7f) | 0x80, (length - 127) >> 7];
  return Buffer.concat([Buffer.from(size), Buffer.from(text, 'latin1')]).toString('hex');
}
