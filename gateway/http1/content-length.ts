/** The Content-Length field (RFC 9112 §6.3), read so that no two readers can disagree about it. */

/** Digits without a leading zero; sixteen could pass what a double counts exactly. */
const LENGTH = /^(?:0|[1-9][0-9]{0,14})$/;

/** The length that `value` says, bytes; -1 when it is not one plain number. */
export function parseContentLength(value: string): number {
  return LENGTH.test(value) ? Number(value) : -1;
}
