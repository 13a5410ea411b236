/**
 * Reads a body from bytes in pieces of any size (RFC 9112 §6, §7).
 *
 *     length:   COUNTED ──last byte──▶ DONE           until close: OPEN ──end of the connection──▶ DONE
 *     chunked:  SIZE ──";"──▶ EXTENSION ──CR──▶ SIZE_LF ──▶ CHUNK ──last byte──▶ CHUNK_CR ──▶ CHUNK_LF ──▶ SIZE
 *               SIZE ──CR──▶ SIZE_LF ──size 0──▶ TRAILERS ──empty line──▶ DONE          any other byte ──▶ BAD
 */
import { type FieldLine } from './field-line.ts';
import { HeadReader } from './head-reader.ts';
import {
  CHUNK_DIGITS_MAX,
  CHUNK_EXTENSION_BYTES_MAX,
  type Http1Limits,
  MESSAGE_EXTENSION_BYTES_MAX,
} from './limits.ts';
import { type LineCache } from './line-cache.ts';
import { CHUNKED, UNTIL_CLOSE } from './request-head.ts';

const COUNTED = 0;
const OPEN = 1;
const SIZE = 2;
const EXTENSION = 3;
const SIZE_LF = 4;
const CHUNK = 5;
const CHUNK_CR = 6;
const CHUNK_LF = 7;
const TRAILERS = 8;
const DONE = 9;
const BAD = 10;

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

/** Extensions without the white space that RFC 9112 §7.1.1 calls bad, up to the CR. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"))?)+$/;

/** Reads one body after another. */
export class BodyReader {
  /** What the last `read` found of the body, or `undefined`. */
  data: Buffer | undefined = undefined;
  readonly #trailers: HeadReader;
  #state = DONE;
  #left = 0;
  #digits = 0;
  #extension = '';
  #extensionBytes = 0;

  constructor(cache: LineCache<FieldLine>, limits: Http1Limits) {
    this.#trailers = new HeadReader({ part: 'trailers', cache, limits });
  }

  /** Whether the body is complete. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /** Whether what came cannot be a body. */
  get bad(): boolean {
    return this.#state === BAD;
  }

  /** Trailers of the body that is complete. */
  get trailers(): readonly FieldLine[] {
    return this.#trailers.lines;
  }

  /** Makes ready for a body of `length` bytes, {@link CHUNKED} or {@link UNTIL_CLOSE}. */
  begin(length: number): void {
    this.#left = Math.max(0, length);
    this.#digits = 0;
    this.#extensionBytes = 0;
    if (!this.#trailers.fresh) this.#trailers.reset();
    if (length === CHUNKED) this.#state = SIZE;
    else if (length === UNTIL_CLOSE) this.#state = OPEN;
    else this.#state = length === 0 ? DONE : COUNTED;
  }

  /** The connection ended: whether that completes the body. */
  end(): boolean {
    if (this.#state === OPEN) this.#state = DONE;
    return this.#state === DONE;
  }

  /** Reads from `from` until there is `data`, the body ends, or `bytes` do; returns where it stopped. */
  read(bytes: Buffer, from: number): number {
    this.data = undefined;
    let at = from;
    while (at < bytes.length && this.#state < DONE) {
      const state = this.#state;
      if (state === COUNTED || state === CHUNK) return this.#take(bytes, at);
      if (state === OPEN) {
        this.data = at === 0 ? bytes : bytes.subarray(at);
        return bytes.length;
      }
      if (state === TRAILERS) at = this.#readTrailers(bytes, at);
      else {
        this.#control(bytes[at] ?? 0);
        at += 1;
      }
    }
    return at;
  }

  #take(bytes: Buffer, at: number): number {
    const count = Math.min(this.#left, bytes.length - at);
    this.data = bytes.subarray(at, at + count);
    this.#left -= count;
    if (this.#left === 0) this.#state = this.#state === COUNTED ? DONE : CHUNK_CR;
    return at + count;
  }

  #readTrailers(bytes: Buffer, at: number): number {
    const next = this.#trailers.read(bytes, at);
    if (this.#trailers.done) this.#state = DONE;
    else if (this.#trailers.problem !== undefined) this.#state = BAD;
    return next;
  }

  /** One byte of what stands around chunks. */
  #control(byte: number): void {
    switch (this.#state) {
      case SIZE:
        this.#size(byte);
        break;
      case EXTENSION:
        this.#extend(byte);
        break;
      case SIZE_LF:
        this.#state = byte === LF ? this.#afterSize() : BAD;
        break;
      case CHUNK_CR:
        this.#state = byte === CR ? CHUNK_LF : BAD;
        break;
      default:
        this.#state = byte === LF ? SIZE : BAD;
        this.#left = 0;
        this.#digits = 0;
    }
  }

  #afterSize(): number {
    return this.#left === 0 ? TRAILERS : CHUNK;
  }

  #size(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit;
      this.#digits += 1;
      if (this.#digits > CHUNK_DIGITS_MAX) this.#state = BAD;
    } else if (this.#digits === 0) {
      this.#state = BAD;
    } else if (byte === CR) {
      this.#state = SIZE_LF;
    } else if (byte === SEMICOLON) {
      this.#extension = ';';
      this.#state = EXTENSION;
    } else {
      this.#state = BAD;
    }
  }

  #extend(byte: number): void {
    if (byte === CR) {
      this.#extensionBytes += this.#extension.length;
      const isGood = this.#extensionBytes <= MESSAGE_EXTENSION_BYTES_MAX && EXTENSIONS.test(this.#extension);
      this.#state = isGood ? SIZE_LF : BAD;
      this.#extension = '';
    } else if (byte === LF || this.#extension.length >= CHUNK_EXTENSION_BYTES_MAX) {
      this.#state = BAD;
    } else {
      this.#extension += String.fromCharCode(byte);
    }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
