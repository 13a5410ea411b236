/** Header fields between the exchange and node:http: flat raw lists, so that order, duplicates and counts survive. */
import { type HeaderField } from '../forward/exchange.ts';

/** Pairs from node's flat list, names in lower case. */
export function readFields(raw: readonly string[]): HeaderField[] {
  const fields: HeaderField[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    fields.push([(raw[index] ?? '').toLowerCase(), raw[index + 1] ?? '']);
  }
  return fields;
}

/** Cookie crumbs of HTTP/2 become one field again (RFC 9113 §8.2.3); everything else stays apart. */
export function joinCookies(fields: readonly HeaderField[]): readonly HeaderField[] {
  const crumbs = fields.filter(([name]) => name === 'cookie');
  if (crumbs.length < 2) return fields;
  const joined: HeaderField = ['cookie', crumbs.map(([, value]) => value).join('; ')];
  return [...fields.filter(([name]) => name !== 'cookie'), joined];
}
