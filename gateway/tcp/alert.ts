/** TLS alerts as records: what a client is told before any key is agreed. */

/** Alert descriptions (RFC 8446 §6, RFC 6066 §3), those that are given on sight of a ClientHello. */
export const ALERT = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
} as const;

/** One of {@link ALERT}. */
export type Alert = (typeof ALERT)[keyof typeof ALERT];

/** A fatal alert as a plaintext record of its own (RFC 8446 §5.1, §6): seven bytes to send before the connection is closed. */
export function alertRecord(description: Alert): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}
