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
const DIGIT_0 = 0x30;
const LETTER_Z = 0x5a;
const WRONG_TIME = 'not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ';
/** Below it seven more bits fit into a number exactly. */
const ARC_MAX = 2 ** 45;
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

/** The octets of an INTEGER in its shortest two's complement; it is negative if the first is 0x80 or more. Throws `der-malformed`. */
export function derIntegerOctets({ content }: DerElement): Uint8Array {
  const [first, second] = content;
  if (first === undefined) throw malformed('INTEGER', 'empty');
  if (content.length > INTEGER_OCTETS_MAX) throw malformed('INTEGER', `${content.length} octets long`);
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw malformed('INTEGER', 'not in its shortest form');
  }
  return content;
}

/** The value of an INTEGER in its shortest two's complement. Throws `der-malformed`. */
export function derInteger(element: DerElement): bigint {
  const content = derIntegerOctets(element);
  const value = BigInt(`0x${hexOf(content)}`);
  const isNegative = (content[0] ?? 0) >= 0x80;
  return isNegative ? value - (1n << BigInt(8 * content.length)) : value;
}

/** The dotted form of an OBJECT IDENTIFIER. Throws `der-malformed`. */
export function derOid(element: DerElement): string {
  const { content } = element;
  if (content.length === 0 || content.length > OID_OCTETS_MAX) throw malformed('OID', `${content.length} octets long`);
  // Arcs have no largest value: what a number holds exactly is one, what is longer becomes a bigint.
  let text = '';
  let arc: number | bigint = 0;
  let open = false;
  for (const octet of content) {
    if (!open && octet === 0x80) throw malformed('OID', 'arc not in its shortest form');
    arc =
      typeof arc === 'number' && arc < ARC_MAX
        ? arc * 128 + (octet & 0x7f)
        : (BigInt(arc) << 7n) | BigInt(octet & 0x7f);
    open = octet >= 0x80;
    if (open) continue;
    text += text === '' ? rootArcs(arc) : `.${arc}`;
    arc = 0;
  }
  if (open) throw malformed('OID', 'ends within an arc');
  return text;
}

/** The first two arcs are written as one (X.690 §8.19.4). */
function rootArcs(joint: number | bigint): string {
  if (joint < 40) return `0.${joint}`;
  return joint < 80 ? `1.${Number(joint) - 40}` : `2.${BigInt(joint) - 80n}`;
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
  const utc = element.tag === derTag.utcTime;
  if (!utc && element.tag !== derTag.generalizedTime) throw malformed('time', 'neither UTCTime nor GeneralizedTime');
  const { content } = element;
  if (content.length !== (utc ? 13 : 15) || content.at(-1) !== LETTER_Z) throw malformed('time', WRONG_TIME);
  const year = utc ? yearOfUtcTime(twoDigits(content, 0)) : twoDigits(content, 0) * 100 + twoDigits(content, 2);
  const at = utc ? 2 : 4;
  const [month, day] = [twoDigits(content, at), twoDigits(content, at + 2)];
  const [hour, minute, second] = [twoDigits(content, at + 4), twoDigits(content, at + 6), twoDigits(content, at + 8)];
  const instant = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC carries what is too large over into the next unit.
  if (hour > 23 || minute > 59 || second > 59 || !isDay(instant, month, day))
    throw malformed('time', 'no such instant');
  if (!utc && year < 2050) throw malformed('time', 'GeneralizedTime before 2050');
  return instant;
}

/** RFC 5280 §4.1.2.5.1. */
function yearOfUtcTime(year: number): number {
  return year >= 50 ? 1900 + year : 2000 + year;
}

function isDay(instant: number, month: number, day: number): boolean {
  const date = new Date(instant);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

function twoDigits(content: Uint8Array, at: number): number {
  const [tens, ones] = [(content[at] ?? 0) - DIGIT_0, (content[at + 1] ?? 0) - DIGIT_0];
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed('time', WRONG_TIME);
  return tens * 10 + ones;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function malformed(what: string, problem: string): JumpgateError {
  return new JumpgateError('der-malformed', `malformed DER in ${what}: ${problem}`, { source: 'peer' });
}
