/** RST_STREAM frames (RFC 9113 §6.4). */
import { type Output } from '../../message/output.ts';
import { type FrameReader } from './frame-reader.ts';
import { FRAME, kindOf, readUint32, writeFrameHeader, writeUint32 } from './frame-type.ts';

/** The error code. */
export const RST_STREAM_BYTES = 4;

/** Writes a reset of one stream. */
export function writeRstStream(output: Output, streamId: number, code: number): void {
  writeFrameHeader(output, RST_STREAM_BYTES, kindOf(FRAME.rstStream, 0), streamId);
  const into = output.reserve(RST_STREAM_BYTES);
  writeUint32(into, output.end, code);
  output.end += RST_STREAM_BYTES;
}

/** The error code of a frame whose length has been checked. */
export function readRstStream(frame: FrameReader): number {
  return readUint32(frame.bytes, frame.start);
}
