/** Cuts the bytes of a connection into frames. DATA is handed on as it comes; every other frame is complete. */
import { ERROR_CODE } from '../../message/error-code.ts';
import { FLAG, FRAME, FRAME_BYTES_DEFAULT, FRAME_HEADER_BYTES, readUint31 } from './frame-type.ts';

const EMPTY = Buffer.alloc(0);

/** Room for a frame header and most small frames. */
const KEPT_BYTES_MIN = 64;

/**
 * Reads frames: `feed`, then `next` until it is false. The members tell of the current frame.
 *
 *     header --DATA--> piece* (first ... last) --> header
 *       |                                            ^
 *       +---other----> complete payload -------------+
 */
export class FrameReader {
  type = 0;
  flags = 0;
  streamId = 0;
  /** Of the payload, with padding. */
  length = 0;
  /** Where the payload lies; of DATA the piece of it that is here, without padding. */
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;
  /** Of DATA: whether this piece is the first of its frame, or the last. */
  first = false;
  last = false;
  /** Of DATA: bytes of the payload that are padding, with the length of it. */
  padding = 0;
  /** Not 0 when reading cannot go on: an error of the connection. */
  error: number = ERROR_CODE.noError;
  /** Frames begun, to tell one that stands still from others. */
  count = 0;

  #input: Buffer = EMPTY;
  #at = 0;
  /** The beginning of a frame whose end has not come. */
  #kept: Buffer = EMPTY;
  #keptBytes = 0;
  #needed = 0;
  /** Bytes of the current DATA frame yet to come. */
  #contentLeft = 0;
  #paddingLeft = 0;
  #inData = false;

  /** Whether a frame other than DATA has begun and not ended. */
  get partial(): boolean {
    return this.#keptBytes > 0;
  }

  /** Gives the reader what came in, from `from` on; all that came before has been read. */
  feed(input: Buffer, from: number): void {
    this.#input = input;
    this.#at = from;
  }

  /** Reads the next frame, or piece of DATA. False when there is none, or `error` is set. */
  next(): boolean {
    if (this.#inData) return this.#nextPiece();
    if (this.#keptBytes > 0) return this.#nextPending();
    const input = this.#input;
    const at = this.#at;
    const left = input.length - at;
    if (left === 0) return false;
    if (left < FRAME_HEADER_BYTES) return this.#keep(FRAME_HEADER_BYTES);
    if (!this.#readHeader(input, at)) return false;
    const needed = FRAME_HEADER_BYTES + this.length;
    if (this.type === FRAME.data) {
      if ((this.flags & FLAG.padded) !== 0 && left === FRAME_HEADER_BYTES) return this.#keep(FRAME_HEADER_BYTES + 1);
      return this.#beginData(input, at);
    }
    if (left < needed) return this.#keep(needed);
    this.#at = at + needed;
    return this.#complete(input, at);
  }

  #readHeader(bytes: Buffer, at: number): boolean {
    this.length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    this.type = bytes[at + 3] ?? 0;
    this.flags = bytes[at + 4] ?? 0;
    this.streamId = readUint31(bytes, at + 5);
    const tooShort = this.length === 0 && this.type === FRAME.data && (this.flags & FLAG.padded) !== 0;
    if (this.length <= FRAME_BYTES_DEFAULT && !tooShort) return true;
    this.error = ERROR_CODE.frameSizeError;
    return false;
  }

  #complete(bytes: Buffer, at: number): boolean {
    this.bytes = bytes;
    this.start = at + FRAME_HEADER_BYTES;
    this.end = this.start + this.length;
    this.count += 1;
    return true;
  }

  #beginData(bytes: Buffer, at: number): boolean {
    const padded = (this.flags & FLAG.padded) !== 0;
    const padding = padded ? (bytes[at + FRAME_HEADER_BYTES] ?? 0) : 0;
    this.padding = padded ? padding + 1 : 0;
    if (this.padding > this.length) {
      this.error = ERROR_CODE.protocolError;
      return false;
    }
    // A frame that was kept whole lies in a buffer of its own, so only what came of the input is skipped.
    if (bytes === this.#input) this.#at = at + FRAME_HEADER_BYTES + (padded ? 1 : 0);
    this.#contentLeft = this.length - this.padding;
    this.#paddingLeft = padding;
    this.#inData = true;
    this.first = true;
    this.count += 1;
    return this.#piece();
  }

  #nextPiece(): boolean {
    if (this.#at >= this.#input.length) return false;
    this.first = false;
    return this.#piece();
  }

  /** What is here of the current DATA frame, possibly nothing. */
  #piece(): boolean {
    const left = this.#input.length - this.#at;
    const content = Math.min(left, this.#contentLeft);
    this.bytes = this.#input;
    this.start = this.#at;
    this.end = this.#at + content;
    this.#contentLeft -= content;
    const padding = Math.min(left - content, this.#paddingLeft);
    this.#paddingLeft -= padding;
    this.#at += content + padding;
    this.last = this.#contentLeft === 0 && this.#paddingLeft === 0;
    this.#inData = !this.last;
    return true;
  }

  /** Keeps a copy of what is left, which must not hold on to the whole read. */
  #keep(needed: number): boolean {
    this.#needed = needed;
    this.#fill();
    return false;
  }

  #nextPending(): boolean {
    if (!this.#fill()) return false;
    const kept = this.#kept;
    if (!this.#readHeader(kept, 0)) return false;
    const isData = this.type === FRAME.data;
    const padLength = isData && (this.flags & FLAG.padded) !== 0 ? 1 : 0;
    const needed = FRAME_HEADER_BYTES + (isData ? padLength : this.length);
    if (this.#keptBytes < needed) {
      this.#needed = needed;
      if (!this.#fill()) return false;
    }
    const whole = this.#kept;
    this.#kept = EMPTY;
    this.#keptBytes = 0;
    return isData ? this.#beginData(whole, 0) : this.#complete(whole, 0);
  }

  /** Moves bytes of the input to the kept ones, up to what is needed. Whether that is all here. */
  #fill(): boolean {
    const count = Math.min(this.#needed - this.#keptBytes, this.#input.length - this.#at);
    const filled = this.#keptBytes + count;
    if (filled > this.#kept.length) {
      // Doubled rather than made as long as announced: nine bytes must not cost sixteen thousand.
      const grown = Buffer.alloc(Math.min(this.#needed, Math.max(KEPT_BYTES_MIN, 2 * filled)));
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(this.#input.subarray(this.#at, this.#at + count), this.#keptBytes);
    this.#keptBytes = filled;
    this.#at += count;
    return filled === this.#needed;
  }
}
