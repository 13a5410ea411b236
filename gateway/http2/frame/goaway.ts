/** GOAWAY frames (RFC 9113 §6.8). */
import { type Output } from '../../message/output.ts';
import { type FrameReader } from './frame-reader.ts';
import { FRAME, kindOf, readUint31, readUint32, writeFrameHeader, writeUint32 } from './frame-type.ts';

/** Last stream id and error code, without debug data. */
export const GOAWAY_BYTES_MIN = 8;

/** More says nothing new to the operator of the other end. */
const REASON_BYTES_MAX = 64;

/**
 * Writes that streams above `lastStreamId` were not and will not be processed. `reason` becomes the debug data: a constant of this
 * code in ASCII, cut at 64 bytes, that holds nothing of other connections, since strangers read it too.
 */
export function writeGoaway(output: Output, lastStreamId: number, code: number, reason = ''): void {
  const length = GOAWAY_BYTES_MIN + Math.min(reason.length, REASON_BYTES_MAX);
  writeFrameHeader(output, length, kindOf(FRAME.goaway, 0), 0);
  const into = output.reserve(length);
  writeUint32(into, output.end, lastStreamId);
  writeUint32(into, output.end + 4, code);
  into.write(reason, output.end + GOAWAY_BYTES_MIN, length - GOAWAY_BYTES_MIN, 'latin1');
  output.end += length;
}

/** Of a frame whose length has been checked. */
export function readGoawayLastStreamId(frame: FrameReader): number {
  return readUint31(frame.bytes, frame.start);
}

/** Of a frame whose length has been checked. */
export function readGoawayCode(frame: FrameReader): number {
  return readUint32(frame.bytes, frame.start + 4);
}
