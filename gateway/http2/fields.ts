/** Header fields between the exchange and node:http2: raw pairs in, raw pairs out, so that order and duplicates survive. */
import http2 from 'node:http2';

import { asList } from '../../base/brand.ts';
import { type HeaderField } from '../forward/exchange.ts';

/** Fields whose values a compression context must never remember (wire.md, Headers). */
const NEVER_INDEXED = ['authorization', 'cookie', 'set-cookie', 'x-api-key', 'jumpgate-assertion'];

/** A header block taken apart. */
export interface HeaderBlock {
  readonly pseudo: ReadonlyMap<string, string>;
  readonly fields: readonly HeaderField[];
}

/** Splits node's flat list of names and values. */
export function readBlock(raw: readonly string[]): HeaderBlock {
  const pseudo = new Map<string, string>();
  const fields: HeaderField[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    if (name.startsWith(':')) pseudo.set(name, value);
    else fields.push([name, value]);
  }
  return { pseudo, fields };
}

/** The names that the sender marked never-indexed. */
export function neverIndexedOf(headers: object): readonly string[] {
  const list = asList(Reflect.get(headers, http2.sensitiveHeaders)) ?? [];
  return list.filter((name) => typeof name === 'string');
}

/** Node's flat list for sending, with the names marked that must not be indexed. */
export function writeBlock(
  pseudo: readonly HeaderField[],
  fields: readonly HeaderField[],
  neverIndexed: readonly string[],
): string[] {
  const flat = [...pseudo, ...fields].flat();
  return Object.assign(flat, { [http2.sensitiveHeaders]: [...NEVER_INDEXED, ...neverIndexed] });
}

/** Trailers as the object that node's sendTrailers takes; without prototype, since names come from the wire. */
export function trailerObject(fields: readonly HeaderField[]): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const list = values.get(name) ?? [];
    list.push(value);
    values.set(name, list);
  }
  const object: Record<string, string[]> = {};
  Reflect.setPrototypeOf(object, null);
  for (const [name, list] of values) Reflect.defineProperty(object, name, { value: list, enumerable: true });
  return object;
}
