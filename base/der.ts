/** A strict, bounded reader of DER (X.690 §10, §11): what has two encodings in BER has one here, all else is refused. */
import { JumpgateError } from './errors.ts';

/** Identifier octets of the universal types that certificates use. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: identifier octet, content octets, and the whole encoding (views of the bytes read, never copies). */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly whole: Uint8Array;
}

/** Longest content: three length octets, 16 MiB; callers bound their inputs far below. */
const LENGTH_OCTETS_MAX = 3;
/** RFC 5280 asks for 20 octets in serial numbers; RSA moduli are the longest integers met: 16,384 bits. */
const INTEGER_OCTETS_MAX = 2049;
/** Longer identifiers than this are registered nowhere. */
const OID_OCTETS_MAX = 64;

/** Reads the elements that stand one after the other in `bytes`. Every method throws `der-malformed` (source peer). */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` names the thing read, for messages. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Whether everything has been read. */
  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next element, which must have the identifier octet `tag` when one is given. */
  next(tag?: number): DerElement {
    const start = this.#at;
    const found = this.#octet();
    if (tag !== undefined && found !== tag) {
      throw malformed(this.#what, `expected tag 0x${tag.toString(16)}, found 0x${found.toString(16)}`);
    }
    if ((found & 0x1f) === 0x1f) throw malformed(this.#what, 'tag number above 30');
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed(this.#what, `length ${length} goes beyond the end`);
    const content = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return { tag: found, content, whole: this.#bytes.subarray(start, end) };
  }

  /** The next element if it has this identifier octet. */
  optional(tag: number): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.next(tag) : undefined;
  }

  /** Demands that nothing is left. */
  end(): void {
    if (!this.done) throw malformed(this.#what, `${this.#bytes.length - this.#at} octets too many`);
  }

  #length(): number {
    const first = this.#octet();
    if (first < 0x80) return first;
    const octets = first & 0x7f;
    if (octets === 0) throw malformed(this.#what, 'indefinite length');
    if (octets > LENGTH_OCTETS_MAX) throw malformed(this.#what, `length of ${octets} octets`);
    let length = 0;
    for (let index = 0; index < octets; index += 1) length = length * 256 + this.#octet();
    if (length < 0x80 || length < 256 ** (octets - 1)) throw malformed(this.#what, 'length not in its shortest form');
    return length;
  }

  #octet(): number {
    const octet = this.#bytes[this.#at];
    if (octet === undefined) throw malformed(this.#what, 'ends within an element');
    this.#at += 1;
    return octet;
  }
}

/** The one element that `bytes` must consist of. Throws `der-malformed`. */
export function derElement(bytes: Uint8Array, tag: number, what: string): DerElement {
  const reader = new DerReader(bytes, what);
  const element = reader.next(tag);
  reader.end();
  return element;
}

/** A reader over the SEQUENCE that `bytes` must consist of. Throws `der-malformed`. */
export function derSequence(bytes: Uint8Array, what: string): DerReader {
  return new DerReader(derElement(bytes, derTag.sequence, what).content, what);
}

/** The value of a BOOLEAN: FALSE is 0x00 and TRUE is 0xff only. Throws `der-malformed`. */
export function derBoolean(element: DerElement): boolean {
  const [octet] = element.content;
  if (element.content.length !== 1 || (octet !== 0 && octet !== 0xff)) throw malformed('BOOLEAN', 'neither 00 nor ff');
  return octet === 0xff;
}

/** The value of an INTEGER in its shortest two's complement. Throws `der-malformed`. */
export function derInteger(element: DerElement): bigint {
  const { content } = element;
  const [first, second] = content;
  if (first === undefined) throw malformed('INTEGER', 'empty');
  if (content.length > INTEGER_OCTETS_MAX) throw malformed('INTEGER', `${content.length} octets long`);
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw malformed('INTEGER', 'not in its shortest form');
  }
  const value = BigInt(`0x${hexOf(content)}`);
  return first < 0x80 ? value : value - (1n << BigInt(8 * content.length));
}

/** The dotted form of an OBJECT IDENTIFIER. Throws `der-malformed`. */
export function derOid(element: DerElement): string {
  const { content } = element;
  if (content.length === 0 || content.length > OID_OCTETS_MAX) throw malformed('OID', `${content.length} octets long`);
  const arcs: bigint[] = [];
  let arc = 0n;
  let open = false;
  for (const octet of content) {
    if (!open && octet === 0x80) throw malformed('OID', 'arc not in its shortest form');
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    open = octet >= 0x80;
    if (!open) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  if (open) throw malformed('OID', 'ends within an arc');
  const [joint = 0n, ...rest] = arcs;
  const root = joint < 40n ? 0n : joint < 80n ? 1n : 2n;
  return [root, joint - root * 40n, ...rest].join('.');
}

/** The octets of a BIT STRING and how many bits of the last one do not count; those are zero. Throws `der-malformed`. */
export function derBitString(element: DerElement): { readonly bytes: Uint8Array; readonly unusedBits: number } {
  const unusedBits = element.content[0];
  const bytes = element.content.subarray(1);
  if (unusedBits === undefined || unusedBits > 7) throw malformed('BIT STRING', 'bad count of unused bits');
  if (unusedBits > 0 && ((bytes.at(-1) ?? 0xff) & ((1 << unusedBits) - 1)) !== 0) {
    throw malformed('BIT STRING', 'unused bits that are not zero');
  }
  return { bytes, unusedBits };
}

/**
 * The instant of a UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5 (with seconds, in Z, without fractions;
 * UTCTime through 2049), milliseconds since 1970. Throws `der-malformed`.
 */
export function derTime(element: DerElement): number {
  const text = Buffer.from(element.content).toString('latin1');
  const utc = element.tag === derTag.utcTime;
  if (!utc && element.tag !== derTag.generalizedTime) throw malformed('time', 'neither UTCTime nor GeneralizedTime');
  const digits = (utc ? /^[0-9]{12}Z$/ : /^[0-9]{14}Z$/).test(text);
  if (!digits) throw malformed('time', 'not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ');
  const full = utc ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
  const [year, ...rest] = [full.slice(0, 4), ...(full.slice(4, 14).match(/../g) ?? [])];
  const iso = `${year}-${rest.slice(0, 2).join('-')}T${rest.slice(2).join(':')}.000Z`;
  const instant = Date.parse(iso);
  if (Number.isNaN(instant) || new Date(instant).toISOString() !== iso) throw malformed('time', 'no such instant');
  if (!utc && Number(year) < 2050) throw malformed('time', 'GeneralizedTime before 2050');
  return instant;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function malformed(what: string, problem: string): JumpgateError {
  return new JumpgateError('der-malformed', `malformed DER in ${what}: ${problem}`, { source: 'peer' });
}
