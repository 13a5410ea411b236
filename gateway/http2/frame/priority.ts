/** PRIORITY frames (RFC 9113 §6.3): checked, otherwise ignored (§5.3.2). */
import { type FrameReader } from './frame-reader.ts';
import { readUint31 } from './frame-type.ts';

/** Dependency and weight, in PRIORITY frames and in HEADERS that have them. */
export const PRIORITY_BYTES = 5;

/** Whether the stream depends on itself, an error of the stream (RFC 7540 §5.3.1). */
export function isSelfDependent(frame: FrameReader): boolean {
  return readUint31(frame.bytes, frame.start) === frame.streamId;
}
