/** HPACK of the tests' own, from RFC 7541 alone: encodes what it is told to, decodes what servers answer. */
import { type Pairs } from './http2-frames.ts';

/** The static table (Appendix A), index 1 first. */
const STATIC_TABLE: Pairs = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status) => [':status', status] as const),
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...[
    'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control',
    'content-disposition content-encoding content-language content-length content-location content-range content-type',
    'cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since',
    'last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after',
    'server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate',
  ]
    .join(' ')
    .split(' ')
    .map((name) => [name, ''] as const),
];

/** Bits of the code of each symbol (Appendix B); the code is canonical, so these are all of it. 256 is EOS. */
const CODE_BITS: readonly number[] = [
  '13 23 28*7 24 30 28 28 30 28*8 30 28*9',
  '6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5*3 6*7 7 8 15 6 12 10',
  '13 6 7*22 8 7 8 13 19 13 14 6',
  '15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7*5 15 11 14 13 28',
  '20 22 20 20 22*3 23 22 23*5 24 23 24 24 22 23 24 23*4 21 22 23 22 23 23 24',
  '22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22*3 23 22 22 23',
  '26 26 20 19 22 23 22 25 26*3 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27*3',
  '20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27*5 28 27*5 26 30',
]
  .join(' ')
  .split(' ')
  .flatMap((run) => {
    const [bits = '', times = '1'] = run.split('*');
    return Array.from({ length: Number(times) }, () => Number(bits));
  });

const EOS = 256;
const ENTRY_OVERHEAD_BYTES = 32;

/** `bits code` to symbol. */
function canonicalCodes(): ReadonlyMap<string, number> {
  const order = CODE_BITS.map((bits, symbol) => ({ bits, symbol })).sort(
    (a, b) => a.bits - b.bits || a.symbol - b.symbol,
  );
  const codes = new Map<string, number>();
  let code = 0;
  let width = order[0]?.bits ?? 0;
  for (const { bits, symbol } of order) {
    code *= 2 ** (bits - width);
    width = bits;
    codes.set(`${bits} ${code}`, symbol);
    code += 1;
  }
  return codes;
}

const CODES = canonicalCodes();

/** Decodes Huffman-coded text; throws for EOS and for wrong padding (§5.2). */
export function decodeHuffman(bytes: Uint8Array): string {
  const symbols: number[] = [];
  let code = 0;
  let width = 0;
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    code = code * 2 + (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    width += 1;
    const symbol = CODES.get(`${width} ${code}`);
    if (symbol === undefined) continue;
    if (symbol === EOS) throw new Error('EOS in Huffman-coded text');
    symbols.push(symbol);
    code = 0;
    width = 0;
  }
  if (width > 7 || code !== 2 ** width - 1) throw new Error(`padding of ${width} bits, ${code}`);
  return Buffer.from(symbols).toString('latin1');
}

/** An integer with `prefixBits` (§5.1) under the bits of `first`. */
export function integer(first: number, prefixBits: number, value: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([first | value]);
  const bytes = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A string literal without Huffman coding (§5.2). */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(0, 7, bytes.length), bytes]);
}

/** How a literal stands in a block: the first byte, with an index of 0 (§6.2). */
export const LITERAL = { indexed: 0x40, plain: 0x00, neverIndexed: 0x10 } as const;

/** A literal field with a literal name. */
export function literal(name: string, value: string, first: number = LITERAL.plain): Buffer {
  return Buffer.concat([Buffer.from([first]), text(name), text(value)]);
}

/** An indexed field (§6.1). */
export function indexed(index: number): Buffer {
  return integer(0x80, 7, index);
}

/** A dynamic table size update (§6.3). */
export function tableSize(bytes: number): Buffer {
  return integer(0x20, 5, bytes);
}

/** A block that leaves the dynamic table alone: static entries by index, everything else literally. */
export function block(pairs: Pairs): Buffer {
  return Buffer.concat(
    pairs.map(([name, value]) => {
      const index = STATIC_TABLE.findIndex((entry) => entry[0] === name && entry[1] === value);
      return index < 0 ? literal(name, value) : indexed(index + 1);
    }),
  );
}

/** A decoder with its dynamic table. */
export class RawHpackDecoder {
  #table: (readonly [string, string])[] = [];
  #limit = 4096;

  /** The fields of one whole block; throws for anything that RFC 7541 forbids and this reader notices. */
  decode(bytes: Buffer): Pairs {
    const fields: (readonly [string, string])[] = [];
    let at = 0;
    const readInteger = (prefixBits: number): number => {
      const most = 2 ** prefixBits - 1;
      let value = bytes.readUInt8(at++) & most;
      if (value < most) return value;
      for (let shift = 1, byte = 0x80; (byte & 0x80) !== 0; shift *= 128) {
        byte = bytes.readUInt8(at++);
        value += (byte & 0x7f) * shift;
      }
      return value;
    };
    const readText = (): string => {
      const huffman = (bytes.readUInt8(at) & 0x80) !== 0;
      const length = readInteger(7);
      if (at + length > bytes.length) throw new Error('a string longer than its block');
      const raw = bytes.subarray(at, (at += length));
      return huffman ? decodeHuffman(raw) : raw.toString('latin1');
    };
    while (at < bytes.length) {
      const first = bytes.readUInt8(at);
      if ((first & 0x80) !== 0) fields.push(this.#entry(readInteger(7)));
      else if ((first & 0xe0) === 0x20) this.#resize(readInteger(5));
      else {
        const index = readInteger((first & 0x40) !== 0 ? 6 : 4);
        const field = [index === 0 ? readText() : this.#entry(index)[0], readText()] as const;
        fields.push(field);
        if ((first & 0x40) !== 0) this.#table.unshift(field);
        this.#evict();
      }
    }
    return fields;
  }

  #entry(index: number): readonly [string, string] {
    const entry = index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table[index - STATIC_TABLE.length - 1];
    if (entry === undefined) throw new Error(`no entry at index ${index}`);
    return entry;
  }

  #resize(bytes: number): void {
    this.#limit = bytes;
    this.#evict();
  }

  #evict(): void {
    let size = 0;
    const kept = this.#table.findIndex(([name, value]) => {
      size += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      return size > this.#limit;
    });
    if (kept >= 0) this.#table = this.#table.slice(0, kept);
  }
}
