/** Huffman decoding of strings (RFC 7541 §5.2): a table of the next 12 bits that holds the one or two octets they begin with. */
import { CODE_BITS, CODE_BITS_MAX, CODES } from './huffman-code.ts';

/** Two octets of the frequent ones (5 and 6 bits) fit; the table is 16 KiB and stays in the first cache. */
const WINDOW_BITS = 12;

/**
 * By window: bits 0-3 the bits of all octets, 4-7 those of the first, 8-15 the first octet, 16-23 the second, 24-25 how
 * many octets. 0 where the first code is longer than the window.
 */
const WINDOWS: Int32Array = windows();

/** By length of code: the first code of that length, and beneath it where its octets begin in `OCTETS`. */
const FIRST_CODES = new Int32Array(CODE_BITS_MAX + 1);
const FIRST_OCTETS = new Int32Array(CODE_BITS_MAX + 2);
/** The octets in the order of their codes. */
const OCTETS: Uint8Array = octetsByCode();

/** Octets that decoding so many encoded ones can need in the buffer: the shortest code has 5 bits, and 2 are written at a time. */
export function huffmanRoom(encodedBytes: number): number {
  return Math.floor((encodedBytes * 8) / 5) + 2;
}

/** Decodes `from[start, end)` to the beginning of `into`, which has `huffmanRoom`. Returns the octets; -1 for EOS or wrong padding. */
export function decodeHuffman(from: Buffer, start: number, end: number, into: Buffer): number {
  let at = start;
  let pending = 0;
  let bits = 0;
  let count = 0;
  for (;;) {
    while (bits < WINDOW_BITS && at < end) {
      pending = (pending << 8) | (from[at++] ?? 0);
      bits += 8;
    }
    if (bits < WINDOW_BITS) return decodeTail(pending, bits, into, count);
    const window = WINDOWS[(pending >>> (bits - WINDOW_BITS)) & 0xfff] ?? 0;
    if (window !== 0) {
      into[count] = window >>> 8;
      into[count + 1] = window >>> 16;
      count += window >>> 24;
      bits -= window & 15;
    } else {
      const position = at * 8 - bits;
      const long = longCode(from, position, end * 8);
      if (long < 0) return -1;
      into[count++] = long;
      const next = position + (CODE_BITS[long] ?? 0);
      at = (next + 7) >>> 3;
      bits = at * 8 - next;
      pending = from[at - 1] ?? 0;
    }
  }
}

/** The last bits, fewer than a window: octets, and then at most 7 ones. */
function decodeTail(pending: number, bitsLeft: number, into: Buffer, done: number): number {
  let bits = bitsLeft;
  let count = done;
  while (bits > 0) {
    const rest = pending & ((1 << bits) - 1);
    const filler = WINDOW_BITS - bits;
    const window = WINDOWS[(rest << filler) | ((1 << filler) - 1)] ?? 0;
    const first = (window >>> 4) & 15;
    if (window === 0 || first > bits) return bits < 8 && rest === (1 << bits) - 1 ? count : -1;
    into[count++] = window >>> 8;
    bits -= first;
  }
  return count;
}

/** The octet whose code begins at the bit `position`; -1 for EOS and where the bits end first. */
function longCode(from: Buffer, position: number, end: number): number {
  let code = 0;
  for (let bits = 1; bits <= CODE_BITS_MAX && position + bits <= end; bits++) {
    const at = position + bits - 1;
    code = (code << 1) | (((from[at >>> 3] ?? 0) >>> (7 - (at & 7))) & 1);
    const rank = code - (FIRST_CODES[bits] ?? 0);
    const first = FIRST_OCTETS[bits] ?? 0;
    if (rank >= 0 && first + rank < (FIRST_OCTETS[bits + 1] ?? 0)) return OCTETS[first + rank] ?? 0;
  }
  return -1;
}

function windows(): Int32Array {
  const table = new Int32Array(1 << WINDOW_BITS);
  // Ones as first octet: the single-octet entries that the pairs are made of.
  for (let octet = 0; octet < 256; octet++) {
    const bits = CODE_BITS[octet] ?? 0;
    if (bits > WINDOW_BITS) continue;
    const first = (CODES[octet] ?? 0) << (WINDOW_BITS - bits);
    table.fill((1 << 24) | (octet << 8) | (bits << 4) | bits, first, first + (1 << (WINDOW_BITS - bits)));
  }
  return table.map((single, window) => {
    const bits = single & 15;
    const second = table[(window << bits) & 0xfff] ?? 0;
    const both = bits + (second & 15);
    if (single === 0 || second === 0 || both > WINDOW_BITS) return single;
    return (2 << 24) | ((second & 0xff00) << 8) | (single & 0xfff0) | both;
  });
}

function octetsByCode(): Uint8Array {
  const octets = new Uint8Array(256);
  let placed = 0;
  for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
    FIRST_OCTETS[bits] = placed;
    for (let octet = 0; octet < 256; octet++) {
      if (CODE_BITS[octet] !== bits) continue;
      if (FIRST_OCTETS[bits] === placed) FIRST_CODES[bits] = CODES[octet] ?? 0;
      octets[placed++] = octet;
    }
  }
  FIRST_OCTETS[CODE_BITS_MAX + 1] = placed;
  return octets;
}
