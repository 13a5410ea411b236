/** Header blocks over several frames (RFC 9113 §4.3, §6.10), and what they hold. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type FrameReader } from './frame/frame-reader.ts';
import { FLAG } from './frame/frame-type.ts';
import { HeadersFragment } from './frame/headers.ts';
import { HpackDecoder, type BlockLimits } from './hpack/decoder.ts';
import { type ConnectionLimits } from './limits.ts';

/** Collects the fragments of a block and decodes it. Its members tell of the current block. */
export class HeaderBlocks {
  /** The stream whose block is open: nothing else may come between its frames. 0 for none. */
  openStreamId = 0;
  endStream = false;
  selfDependent = false;
  readonly #decoder: HpackDecoder;
  readonly #blockLimits: BlockLimits;
  readonly #continuationsMax: number;
  readonly #fragment = new HeadersFragment();
  #parts: Buffer[] = [];

  constructor(limits: ConnectionLimits) {
    this.#decoder = new HpackDecoder(limits.headerTableBytes);
    this.#continuationsMax = limits.continuationsMax;
    this.#blockLimits = {
      bytesMax: limits.headerBytesMax,
      fieldsMax: limits.headerFieldsMax,
      nameBytesMax: limits.headerNameBytesMax,
    };
  }

  get fields(): Field[] {
    return this.#decoder.fields;
  }

  get overrun(): 'limit-header-bytes' | 'limit-header-fields' | undefined {
    return this.#decoder.overrun;
  }

  /** Takes HEADERS. Returns an error of the connection, or 0; the block is complete unless `openStreamId` is set. */
  begin(frame: FrameReader): number {
    const fragment = this.#fragment;
    const error = fragment.read(frame);
    if (error !== ERROR_CODE.noError) return error;
    this.endStream = (frame.flags & FLAG.endStream) !== 0;
    this.selfDependent = fragment.selfDependent;
    if ((frame.flags & FLAG.endHeaders) !== 0) return this.#decode(frame.bytes, fragment.start, fragment.end);
    this.openStreamId = frame.streamId;
    this.#parts = [Buffer.from(frame.bytes.subarray(fragment.start, fragment.end))];
    return ERROR_CODE.noError;
  }

  /** Takes CONTINUATION of the open block; as `begin`. */
  resume(frame: FrameReader): number {
    if (this.#parts.length > this.#continuationsMax) return ERROR_CODE.enhanceYourCalm;
    this.#parts.push(Buffer.from(frame.bytes.subarray(frame.start, frame.end)));
    if ((frame.flags & FLAG.endHeaders) === 0) return ERROR_CODE.noError;
    const block = Buffer.concat(this.#parts);
    this.#parts = [];
    this.openStreamId = 0;
    return this.#decode(block, 0, block.length);
  }

  #decode(block: Buffer, start: number, end: number): number {
    return this.#decoder.decode(block, start, end, this.#blockLimits)
      ? ERROR_CODE.noError
      : ERROR_CODE.compressionError;
  }
}
