/** Writes text that is checked as it is written, so that nothing can be smuggled into a line (RFC 9110 §5.5, §5.6.2). */

/** May stand in a token, in a field's value, in a request target. */
export const OCTET = { token: 1, value: 2, visible: 4 } as const;

const CLASSES: Uint8Array = classes();

function classes(): Uint8Array {
  const table = new Uint8Array(256);
  for (let code = 0; code < 256; code += 1) {
    const character = String.fromCharCode(code);
    let bits = 0;
    if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character)) bits |= OCTET.token;
    if (/[\t\x20-\x7e\x80-\xff]/.test(character)) bits |= OCTET.value;
    if (/[\x21-\x7e]/.test(character)) bits |= OCTET.visible;
    table[code] = bits;
  }
  return table;
}

/** Writes `text` if all of it is of the class, and returns where it ends; -1 if not, or if `at` is. */
export function writeChecked(into: Buffer, at: number, text: string, octet: number): number {
  if (at < 0) return -1;
  let end = at;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0xff || ((CLASSES[code] ?? 0) & octet) === 0) return -1;
    into[end] = code;
    end += 1;
  }
  return end;
}

/** Writes text of our own, which is ASCII, and returns where it ends; -1 if `at` is. */
export function writeText(into: Buffer, at: number, text: string): number {
  if (at < 0) return -1;
  for (let index = 0; index < text.length; index += 1) into[at + index] = text.charCodeAt(index);
  return at + text.length;
}
