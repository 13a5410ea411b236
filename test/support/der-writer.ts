/** Writes DER for tests, and what is not quite DER: nothing here checks anything. */

/** An element with the identifier octet `tag`. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(content.length)]), content]);
}

/** SEQUENCE. */
export function derSequenceOf(...contents: readonly Uint8Array[]): Uint8Array {
  return der(0x30, ...contents);
}

/** OBJECT IDENTIFIER from its dotted form. */
export function derOidOf(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from(octets));
}

/** BOOLEAN TRUE. */
export function derTrue(): Uint8Array {
  return der(0x01, Buffer.from([0xff]));
}

/** Text of octets under `tag`. */
export function derText(tag: number, text: string): Uint8Array {
  return der(tag, Buffer.from(text, 'latin1'));
}

/** BIT STRING of whole octets. */
export function derBits(octets: Uint8Array, unusedBits = 0): Uint8Array {
  return der(0x03, Buffer.from([unusedBits]), octets);
}

/** UTCTime, or GeneralizedTime from 2050. */
export function derTimeOf(ms: number): Uint8Array {
  const digits = `${new Date(ms)
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[^0-9]/g, '')}Z`;
  return digits >= '2050' ? derText(0x18, digits) : derText(0x17, digits.slice(2));
}

function lengthOctets(length: number): readonly number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff];
  return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
}
