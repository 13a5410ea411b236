/** Names that came as literals lately, so that a client which never indexes them does not have each made anew. */
import { type FieldName } from '../../message/field.ts';
import { fieldName } from '../../message/names.ts';
import { textOf } from './text.ts';

/** A power of two; a client sends few names. */
const PLACES = 32;

/** Longer names are rare, and kept would cost memory. */
const NAME_BYTES_MAX = 64;

/** One place per hash: a newer name takes the place of an older one. */
export class NameMemo {
  readonly #names: (FieldName | undefined)[] = new Array<FieldName | undefined>(PLACES).fill(undefined);

  /** The name in `bytes[from, to)`. */
  name(bytes: Buffer, from: number, to: number): FieldName {
    const length = to - from;
    if (length > NAME_BYTES_MAX || length === 0) return fieldName(textOf(bytes, from, to));
    const place = ((bytes[from] ?? 0) * 7 + (bytes[to - 1] ?? 0) * 3 + length) & (PLACES - 1);
    const known = this.#names[place];
    if (known !== undefined && sameText(known.text, bytes, from, length)) return known;
    const name = fieldName(textOf(bytes, from, to));
    this.#names[place] = name;
    return name;
  }
}

function sameText(text: string, bytes: Buffer, from: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[from + i]) return false;
  return true;
}
