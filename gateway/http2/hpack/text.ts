/** Strings from octets, one character per octet. */

/** The octets `[from, to)` as a string. Up to four go without a call out of JavaScript, which costs more than all of them. */
export function textOf(bytes: Buffer, from: number, to: number): string {
  const a = bytes[from] ?? 0;
  const b = bytes[from + 1] ?? 0;
  const c = bytes[from + 2] ?? 0;
  switch (to - from) {
    case 0:
      return '';
    case 1:
      return String.fromCharCode(a);
    case 2:
      return String.fromCharCode(a, b);
    case 3:
      return String.fromCharCode(a, b, c);
    case 4:
      return String.fromCharCode(a, b, c, bytes[from + 3] ?? 0);
    default:
      return bytes.toString('latin1', from, to);
  }
}
