/** Which fields an HTTP/2 message may have (RFC 9113 §8.2, RFC 9110 §5), judged once per field object. */
import { type Field, type FieldName } from '../message/field.ts';

/** What `judge` finds, kept in `Field.validity`. The first two are as that member says. */
export const VALIDITY = {
  unknown: 0,
  valid: 1,
  malformed: 2,
  /** Valid, and this protocol asks more of it: Host and Content-Length. */
  special: 3,
  /** A pseudo-header field with a valid value, which only the head readers may accept. */
  pseudo: 4,
} as const;

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** Names that speak of one connection (RFC 9113 §8.2.2) or mean something to this protocol. */
const RULES: ReadonlyMap<string, 'forbidden' | 'te' | 'host' | 'content-length'> = new Map([
  ['connection', 'forbidden'],
  ['keep-alive', 'forbidden'],
  ['proxy-connection', 'forbidden'],
  ['transfer-encoding', 'forbidden'],
  ['upgrade', 'forbidden'],
  ['te', 'te'],
  ['host', 'host'],
  ['content-length', 'content-length'],
]);

/** Lengths of those names as bits, so that most names are never looked up. */
const RULE_LENGTHS = [...RULES.keys()].reduce((bits, { length }) => bits | (1 << length), 0);

const NAME_LENGTH_BITS = 31;

/** Digits of a Content-Length that a number holds exactly. */
const LENGTH = /^[0-9]{1,15}$/;

/** The verdict on a field that is no pseudo-header field: one of `VALIDITY`. */
export function judged(field: Field): number {
  return field.validity === VALIDITY.unknown ? judge(field) : field.validity;
}

/** Whether trailers may be taken over: valid fields, and no pseudo-header field among them (RFC 9113 §8.1). */
export function areTrailersValid(fields: readonly Field[]): boolean {
  for (const field of fields) {
    const validity = judged(field);
    if (validity !== VALIDITY.valid && validity !== VALIDITY.special) return false;
  }
  return true;
}

function judge(field: Field): number {
  const validity = isNameValid(field.name) && isValueValid(field.value) ? ruled(field) : VALIDITY.malformed;
  field.validity = validity;
  return validity;
}

function ruled({ name, value }: Field): number {
  const { text } = name;
  if (text.length > NAME_LENGTH_BITS || (RULE_LENGTHS & (1 << text.length)) === 0) return VALIDITY.valid;
  switch (RULES.get(text)) {
    case 'forbidden':
      return VALIDITY.malformed;
    case 'te':
      return value === 'trailers' ? VALIDITY.valid : VALIDITY.malformed;
    case 'content-length':
      return LENGTH.test(value) ? VALIDITY.special : VALIDITY.malformed;
    case 'host':
      return VALIDITY.special;
    case undefined:
      return VALIDITY.valid;
    default:
      return VALIDITY.malformed;
  }
}

function isNameValid(name: FieldName): boolean {
  if (name.validity === VALIDITY.unknown) name.validity = NAME.test(name.text) ? VALIDITY.valid : VALIDITY.malformed;
  return name.validity === VALIDITY.valid;
}

/** No control characters but tabs, no white space at the edges (RFC 9113 §8.2.1, RFC 9110 §5.5). */
function isValueValid(value: string): boolean {
  const { length } = value;
  if (length === 0) return true;
  if (isSpace(value.charCodeAt(0)) || isSpace(value.charCodeAt(length - 1))) return false;
  for (let at = 0; at < length; at += 1) {
    const code = value.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false;
  }
  return true;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
