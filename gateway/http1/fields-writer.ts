/** Writes field lines (RFC 9112 §5): end-to-end fields only, since the connection's own are written by the connection. */
import { type Field } from '../message/field.ts';
import { parseContentLength } from './content-length.ts';
import { KIND, kindOf } from './field-line.ts';
import { OCTET, writeChecked, writeText } from './octets.ts';
import { type Spelling } from './spelling.ts';

/** No Content-Length among the fields. */
export const NO_LENGTH = -1;

/** Two of them, or one that is no number. */
export const BAD_LENGTH = -2;

const COLON = 0x3a;
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** Bytes that the lines of `fields` have at most. */
export function fieldsBound(fields: readonly Field[]): number {
  let bytes = 0;
  for (const { name, value } of fields) bytes += name.text.length + value.length + 4;
  return bytes;
}

/** The Content-Length that stands among `fields`, {@link NO_LENGTH} or {@link BAD_LENGTH}. */
export function lengthAmong(fields: readonly Field[]): number {
  let length = NO_LENGTH;
  for (const { name, value } of fields) {
    if (name.text.length !== 14 || name.text !== 'content-length') continue;
    if (length !== NO_LENGTH) return BAD_LENGTH;
    length = parseContentLength(value);
    if (length < 0) return BAD_LENGTH;
  }
  return length;
}

/**
 * Writes the lines of `fields` at `start` and returns where they end; -1 when one of them cannot be written. Fields of
 * another connection are left out, and cookies are joined to one line (RFC 9113 §8.2.3). `withLength`: Content-Length too.
 */
export function writeFields(
  into: Buffer,
  start: number,
  fields: readonly Field[],
  options: { readonly withLength: boolean; readonly spelling: Spelling | undefined },
): number {
  let at = start;
  let cookies = 0;
  for (const { name, value } of fields) {
    const kind = kindOf(name.text);
    if (kind === KIND.cookie) cookies += 1;
    if (kind === KIND.ordinary || (kind === KIND.contentLength && options.withLength)) {
      at = writeField(into, at, spelled(name.text, options.spelling), value);
    }
    if (at < 0) return -1;
  }
  return cookies > 0 ? writeCookies(into, at, fields, options.spelling) : at;
}

function spelled(name: string, spelling: Spelling | undefined): string {
  return spelling === undefined ? name : spelling.of(name);
}

/** Writes one line and returns where it ends; -1 when its name or value cannot be written, or `start` is. */
export function writeField(into: Buffer, start: number, name: string, value: string): number {
  let at = name === '' ? -1 : writeChecked(into, start, name, OCTET.token);
  if (at < 0) return -1;
  into[at] = COLON;
  into[at + 1] = SPACE;
  at = writeChecked(into, at + 2, trimmed(value), OCTET.value);
  if (at < 0) return -1;
  into[at] = CR;
  into[at + 1] = LF;
  return at + 2;
}

function writeCookies(into: Buffer, start: number, fields: readonly Field[], spelling: Spelling | undefined): number {
  let at = writeText(into, start, `${spelled('cookie', spelling)}: `);
  let isFirst = true;
  for (const { name, value } of fields) {
    if (name.text !== 'cookie') continue;
    if (!isFirst) at = writeText(into, at, '; ');
    isFirst = false;
    at = writeChecked(into, at, trimmed(value), OCTET.value);
  }
  return writeText(into, at, '\r\n');
}

/** White space at the ends of a value is not part of it (RFC 9112 §5.1). */
function trimmed(value: string): string {
  const { length } = value;
  if (length === 0 || (value.charCodeAt(0) > SPACE && value.charCodeAt(length - 1) > SPACE)) return value;
  return value.replace(/^[ \t]+|[ \t]+$/g, '');
}
