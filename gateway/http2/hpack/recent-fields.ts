/**
 * Literals that came lately without entering the table. Clients repeat themselves: nghttp2 and what is built on it never
 * index `:path`. A repeated literal is the same object again, and what was derived from it need not be derived again.
 */
import { Field, type FieldName } from '../../message/field.ts';
import { textOf } from './text.ts';

/** Places for literals, by hash; a power of two. One connection has few paths at a time. */
const PLACES = 64;

/** Longer values are read anew: comparing them costs as much as is saved. */
const VALUE_BYTES_MAX = 128;

/** See the head of this file. */
export class RecentFields {
  readonly #places: (Field | undefined)[] = Array.from({ length: PLACES }, () => undefined);

  /** The field of this name with the value at `from` to `to` of `text`: one that came before, or a new one. */
  field(name: FieldName, text: Buffer, from: number, to: number): Field {
    const length = to - from;
    if (length > VALUE_BYTES_MAX) return new Field(name, textOf(text, from, to));
    let hash = length;
    for (let at = from; at < to; at++) hash = (Math.imul(hash, 31) + (text[at] ?? 0)) | 0;
    const place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    const known = this.#places[place];
    if (known !== undefined && known.name === name && isEqual(known.value, text, from, to)) return known;
    const made = new Field(name, textOf(text, from, to));
    this.#places[place] = made;
    return made;
  }
}

function isEqual(value: string, text: Buffer, from: number, to: number): boolean {
  if (value.length !== to - from) return false;
  for (let at = from; at < to; at++) if (value.charCodeAt(at - from) !== text[at]) return false;
  return true;
}
