/** HEADERS and CONTINUATION frames (RFC 9113 §6.2, §6.10): where the fragment of a header block lies, and writing one. */
import { ERROR_CODE } from '../../message/error-code.ts';
import { BEGIN_BYTES_MAX, type HpackEncoder } from '../hpack/encoder.ts';
import { type Field } from '../../message/field.ts';
import { type Output } from '../../message/output.ts';
import { type FrameReader } from './frame-reader.ts';
import { FLAG, FRAME, FRAME_HEADER_BYTES, kindOf, readUint31, writeFrameHeader } from './frame-type.ts';
import { PRIORITY_BYTES } from './priority.ts';

/** The part of a HEADERS frame that is the block, found by `read`. */
export class HeadersFragment {
  start = 0;
  end = 0;
  /** Whether the stream depends on itself, an error of the stream (RFC 7540 §5.3.1). */
  selfDependent = false;

  /** Takes padding and priority off. Returns an error of the connection, or 0. */
  read(frame: FrameReader): number {
    let { start, end } = frame;
    const padded = (frame.flags & FLAG.padded) !== 0;
    const prioritised = (frame.flags & FLAG.priority) !== 0;
    this.selfDependent = false;
    if (frame.length < (padded ? 1 : 0) + (prioritised ? PRIORITY_BYTES : 0)) return ERROR_CODE.frameSizeError;
    if (padded) {
      end -= frame.bytes[start] ?? 0;
      start += 1;
    }
    if (prioritised) {
      this.selfDependent = readUint31(frame.bytes, start) === frame.streamId;
      start += PRIORITY_BYTES;
    }
    this.start = start;
    this.end = end;
    return start > end ? ERROR_CODE.protocolError : ERROR_CODE.noError;
  }
}

/** Writes header blocks: `open` with an upper bound of the size, `put` each field, `close`. */
export class BlockWriter {
  readonly #output: Output;
  readonly #encoder: HpackEncoder;
  #into: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(output: Output, encoder: HpackEncoder) {
    this.#output = output;
    this.#encoder = encoder;
  }

  /** Begins a block. `bytesMax` is the sum of `HpackEncoder.bytesMax` over what will be put. */
  open(bytesMax: number): void {
    this.#into = this.#output.reserve(bytesMax + FRAME_HEADER_BYTES + BEGIN_BYTES_MAX);
    this.#at = this.#encoder.begin(this.#into, this.#output.end + FRAME_HEADER_BYTES);
  }

  put(field: Field): void {
    this.#at = this.#encoder.encode(field, this.#into, this.#at);
  }

  /** Ends the block, in CONTINUATION frames as well where it is longer than `frameBytesMax`. */
  close(streamId: number, endStream: boolean, frameBytesMax: number): void {
    const output = this.#output;
    const length = this.#at - output.end - FRAME_HEADER_BYTES;
    const flags = endStream ? FLAG.endStream : 0;
    if (length <= frameBytesMax) {
      writeFrameHeader(output, length, kindOf(FRAME.headers, flags | FLAG.endHeaders), streamId);
      output.end += length;
      return;
    }
    const block = Buffer.from(this.#into.subarray(this.#at - length, this.#at));
    let kind = kindOf(FRAME.headers, flags);
    for (let at = 0; at < length; at += frameBytesMax) {
      const part = block.subarray(at, at + frameBytesMax);
      if (at + frameBytesMax >= length) kind |= FLAG.endHeaders;
      writeFrameHeader(output, part.length, kind, streamId);
      output.append(part);
      kind = kindOf(FRAME.continuation, 0);
    }
  }
}
