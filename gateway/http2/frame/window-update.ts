/** WINDOW_UPDATE frames (RFC 9113 §6.9). */
import { type Output } from '../../message/output.ts';
import { type FrameReader } from './frame-reader.ts';
import { FRAME, kindOf, readUint31, writeFrameHeader, writeUint32 } from './frame-type.ts';

/** The increment. */
export const WINDOW_UPDATE_BYTES = 4;

/** Permits `increment` more bytes (1 to 2^31-1) on a stream, or on the connection (0). */
export function writeWindowUpdate(output: Output, streamId: number, increment: number): void {
  writeFrameHeader(output, WINDOW_UPDATE_BYTES, kindOf(FRAME.windowUpdate, 0), streamId);
  const into = output.reserve(WINDOW_UPDATE_BYTES);
  writeUint32(into, output.end, increment);
  output.end += WINDOW_UPDATE_BYTES;
}

/** The increment of a frame whose length has been checked; 0 is an error. */
export function readWindowUpdate(frame: FrameReader): number {
  return readUint31(frame.bytes, frame.start);
}
