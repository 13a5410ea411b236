/** What a frame begins with (RFC 9113 §4.1), its types and flags. */
import { type Output } from '../../message/output.ts';

/** Length, type, flags and stream id. */
export const FRAME_HEADER_BYTES = 9;

/** Frame types (RFC 9113 §6). */
export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Flags. ACK is of SETTINGS and PING, the others of DATA, HEADERS and CONTINUATION. */
export const FLAG = {
  ack: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** The largest payload that every endpoint takes, and that we announce: RFC 9113 §6.5.2's initial MAX_FRAME_SIZE. */
export const FRAME_BYTES_DEFAULT = 16_384;

/** The highest stream id, window and reset last-stream id: 31 bits. */
export const INT31_MAX = 0x7fff_ffff;

/** Type and flags in one number, as `writeFrameHeader` takes them. */
export function kindOf(type: number, flags: number): number {
  return (type << 8) | flags;
}

/** Writes the header of a frame at the end of the output. */
export function writeFrameHeader(output: Output, length: number, kind: number, streamId: number): void {
  const into = output.reserve(FRAME_HEADER_BYTES);
  const at = output.end;
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = kind >>> 8;
  into[at + 4] = kind;
  writeUint32(into, at + 5, streamId);
  output.end = at + FRAME_HEADER_BYTES;
}

/** Writes 32 bits, most significant byte first. */
export function writeUint32(into: Buffer, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}

/** Reads 32 bits; what lies beyond the end counts as 0. */
export function readUint32(bytes: Buffer, at: number): number {
  return (readUint31(bytes, at) | ((bytes[at] ?? 0) & 0x80 ? 0x8000_0000 : 0)) >>> 0;
}

/** Reads 32 bits without the reserved first one. */
export function readUint31(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] ?? 0) & 0x7f) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)
  );
}
