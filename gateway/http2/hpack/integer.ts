/** Integers of HPACK (RFC 7541 §5.1). */

/** Octets of an integer at most: the prefix and four more, so 28 bits, which is beyond every length and table size here. */
const CONTINUATIONS_MAX = 4;

/** Octets that an integer of 32 bits takes at most when written. */
export const INTEGER_BYTES_MAX = 6;

/** Reads integers one after the other; remembers where it stands. */
export class IntegerReader {
  /** Behind the integer that was read. */
  at = 0;

  /** The integer at `at` whose prefix is `mask` (all ones). -1 if the bytes end first, or it has too many octets. */
  read(bytes: Buffer, end: number, mask: number): number {
    if (this.at >= end) return -1;
    const prefix = (bytes[this.at++] ?? 0) & mask;
    return prefix < mask ? prefix : this.#continued(bytes, end, mask);
  }

  #continued(bytes: Buffer, end: number, prefix: number): number {
    let value = prefix;
    for (let shift = 0; shift < CONTINUATIONS_MAX * 7; shift += 7) {
      if (this.at >= end) return -1;
      const octet = bytes[this.at++] ?? 0;
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    return -1;
  }
}

/** How an integer begins: the octet that its prefix is put into, and the largest value of the prefix (all ones). */
export interface Prefix {
  readonly pattern: number;
  readonly mask: number;
}

/** Writes an integer; returns the offset behind it. */
export function writeInteger(value: number, prefix: Prefix, into: Buffer, at: number): number {
  if (value < prefix.mask) {
    into[at] = prefix.pattern | value;
    return at + 1;
  }
  into[at] = prefix.pattern | prefix.mask;
  let rest = value - prefix.mask;
  let to = at + 1;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[to++] = (rest % 0x80) | 0x80;
  into[to] = rest;
  return to + 1;
}
