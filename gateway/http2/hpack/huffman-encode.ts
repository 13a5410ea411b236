/** Huffman encoding of strings (RFC 7541 §5.2). */
import { CODE_BITS, CODES } from './huffman-code.ts';

/** Octets that `text` (one character per octet) takes when encoded. */
export function huffmanBytes(text: string): number {
  let bits = 7;
  for (let i = 0; i < text.length; i++) bits += CODE_BITS[text.charCodeAt(i)] ?? 0;
  return bits >>> 3;
}

/** Writes `text` (one character per octet) encoded; returns the offset behind it. */
export function writeHuffman(text: string, into: Buffer, at: number): number {
  let pending = 0;
  let bits = 0;
  let to = at;
  for (let i = 0; i < text.length; i++) {
    const octet = text.charCodeAt(i);
    const code = CODES[octet] ?? 0;
    let length = CODE_BITS[octet] ?? 0;
    // With up to 7 bits pending, only 24 more are sure to fit 32.
    if (length > 24) {
      length -= 16;
      pending = (pending << length) | (code >>> 16);
      bits += length;
      for (; bits >= 8; bits -= 8) into[to++] = pending >>> (bits - 8);
      length = 16;
      pending = (pending << 16) | (code & 0xffff);
    } else {
      pending = (pending << length) | code;
    }
    bits += length;
    for (; bits >= 8; bits -= 8) into[to++] = pending >>> (bits - 8);
  }
  // Padding is the beginning of EOS: ones.
  if (bits > 0) into[to++] = (pending << (8 - bits)) | (0xff >>> bits);
  return to;
}
