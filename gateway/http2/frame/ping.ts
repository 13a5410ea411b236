/** PING frames (RFC 9113 §6.7). */
import { type Output } from '../../message/output.ts';
import { FLAG, FRAME, kindOf, writeFrameHeader } from './frame-type.ts';

/** Opaque data. */
export const PING_BYTES = 8;

/** Writes a ping, or the answer to one with the same eight bytes. */
export function writePing(output: Output, payload: Uint8Array, ack: boolean): void {
  writeFrameHeader(output, PING_BYTES, kindOf(FRAME.ping, ack ? FLAG.ack : 0), 0);
  output.append(payload);
}
