/** SETTINGS frames (RFC 9113 §6.5). */
import { type Output } from '../../message/output.ts';
import { FLAG, FRAME, kindOf, writeFrameHeader, writeUint32 } from './frame-type.ts';

/** Identifier and value. */
export const SETTING_BYTES = 6;

/** Identifiers (RFC 9113 §6.5.2, RFC 8441 §3). */
export const SETTING = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
} as const;

/** Writes settings: identifiers and values. */
export function writeSettings(output: Output, entries: readonly (readonly [id: number, value: number])[]): void {
  writeFrameHeader(output, entries.length * SETTING_BYTES, kindOf(FRAME.settings, 0), 0);
  const into = output.reserve(entries.length * SETTING_BYTES);
  for (const [id, value] of entries) {
    into[output.end] = id >>> 8;
    into[output.end + 1] = id;
    writeUint32(into, output.end + 2, value);
    output.end += SETTING_BYTES;
  }
}

/** Acknowledges the other end's settings. */
export function writeSettingsAck(output: Output): void {
  writeFrameHeader(output, 0, kindOf(FRAME.settings, FLAG.ack), 0);
}
