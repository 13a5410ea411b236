/** One field line of HTTP/1.1 and what it means to the framing; the same bytes on a connection give the same object. */
import { Field } from '../message/field.ts';
import { fieldName } from '../message/names.ts';

/** Fields that the engine reads or keeps to one connection (RFC 9110 §7.6.1); all others are ORDINARY. */
export const KIND = {
  ordinary: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  /** Keep-Alive, Proxy-Connection, HTTP2-Settings: dropped. */
  hop: 5,
  upgrade: 6,
  expect: 7,
  te: 8,
  cookie: 9,
  keepAlive: 10,
  webSocketKey: 11,
  webSocketAccept: 12,
} as const;

const KINDS: ReadonlyMap<string, number> = new Map<string, number>([
  ['host', KIND.host],
  ['content-length', KIND.contentLength],
  ['transfer-encoding', KIND.transferEncoding],
  ['connection', KIND.connection],
  ['proxy-connection', KIND.hop],
  ['http2-settings', KIND.hop],
  ['upgrade', KIND.upgrade],
  ['expect', KIND.expect],
  ['te', KIND.te],
  ['cookie', KIND.cookie],
  ['keep-alive', KIND.keepAlive],
  ['sec-websocket-key', KIND.webSocketKey],
  ['sec-websocket-accept', KIND.webSocketAccept],
]);

/** Names whose values are secrets. */
const SECRET = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);

/** The shortest and longest of `KINDS`: most names are told apart by their length alone. */
const KIND_LENGTHS: ReadonlySet<number> = new Set([...KINDS.keys()].map((name) => name.length));

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Which of `KIND` a field of this name (lower case) is. */
export function kindOf(name: string): number {
  return KIND_LENGTHS.has(name.length) ? (KINDS.get(name) ?? KIND.ordinary) : KIND.ordinary;
}

/** Whether `text` is a token (RFC 9110 §5.6.2). */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** A field with what the engine makes of it. */
export class FieldLine {
  readonly field: Field;
  readonly kind: number;
  /** What `request-head` made of the value of a Host field. */
  authority: Field | undefined = undefined;

  constructor(field: Field, kind: number) {
    this.field = field;
    this.kind = kind;
  }
}

/** Reads a line without its line end; `undefined` when it is no field line (RFC 9112 §5), folded ones included. */
export function parseFieldLine(line: string): FieldLine | undefined {
  const colon = line.indexOf(':');
  if (colon < 1) return undefined;
  const name = line.slice(0, colon);
  if (!TOKEN.test(name)) return undefined;
  let begin = colon + 1;
  let end = line.length;
  while (begin < end && isBlank(line.charCodeAt(begin))) begin += 1;
  while (end > begin && isBlank(line.charCodeAt(end - 1))) end -= 1;
  const value = line.slice(begin, end);
  if (!VALUE.test(value)) return undefined;
  const lower = name.toLowerCase();
  return new FieldLine(new Field(fieldName(lower), value, SECRET.has(lower)), kindOf(lower));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
