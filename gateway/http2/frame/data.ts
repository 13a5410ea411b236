/** DATA frames (RFC 9113 §6.1). Read by the frame reader, since they are handed on in pieces. */
import { type Output } from '../../message/output.ts';
import { FLAG, FRAME, kindOf, writeFrameHeader } from './frame-type.ts';

const KIND = kindOf(FRAME.data, 0);
const KIND_LAST = kindOf(FRAME.data, FLAG.endStream);

/** Writes one DATA frame without padding; with `end` it is the stream's last. */
export function writeData(output: Output, streamId: number, bytes: Uint8Array, end: boolean): void {
  writeFrameHeader(output, bytes.length, end ? KIND_LAST : KIND, streamId);
  if (bytes.length > 0) output.append(bytes);
}
