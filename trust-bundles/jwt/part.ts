/** The parts of a token in compact serialization: JSON objects in base64url (RFC 7515 §7.1). */
import { asRecord } from '../../base/brand.ts';
import { parseJson } from '../../base/json.ts';
import { decodeBase64Url } from './base64url.ts';

/** Servers take headers of 8 to 16 KiB in all. */
export const TOKEN_CHARS_MAX = 16 * 1024;
const JSON_DEPTH_MAX = 16;

/** The object that a part holds; `undefined` for anything else, a duplicate member or a second spelling included. */
export function readObject(text: string): Readonly<Record<string, unknown>> | undefined {
  const octets = decodeBase64Url(text);
  if (octets === undefined) return undefined;
  try {
    return asRecord(parseJson(octets, { maxBytes: TOKEN_CHARS_MAX, maxDepth: JSON_DEPTH_MAX }));
  } catch {
    return undefined;
  }
}

/** An object as a part. */
export function writeObject(value: Readonly<Record<string, unknown>>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
