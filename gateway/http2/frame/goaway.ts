/** GOAWAY frames (RFC 9113 §6.8). Ours carry no debug data: strangers learn the code only. */
import { type Output } from '../../message/output.ts';
import { type FrameReader } from './frame-reader.ts';
import { FRAME, kindOf, readUint31, readUint32, writeFrameHeader, writeUint32 } from './frame-type.ts';

/** Last stream id and error code, without debug data. */
export const GOAWAY_BYTES_MIN = 8;

/** Writes that streams above `lastStreamId` were not and will not be processed. */
export function writeGoaway(output: Output, lastStreamId: number, code: number): void {
  writeFrameHeader(output, GOAWAY_BYTES_MIN, kindOf(FRAME.goaway, 0), 0);
  const into = output.reserve(GOAWAY_BYTES_MIN);
  writeUint32(into, output.end, lastStreamId);
  writeUint32(into, output.end + 4, code);
  output.end += GOAWAY_BYTES_MIN;
}

/** Of a frame whose length has been checked. */
export function readGoawayLastStreamId(frame: FrameReader): number {
  return readUint31(frame.bytes, frame.start);
}

/** Of a frame whose length has been checked. */
export function readGoawayCode(frame: FrameReader): number {
  return readUint32(frame.bytes, frame.start + 4);
}
