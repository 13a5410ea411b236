/** What is derived from names and fields for the encoder, once per object: which may enter a table, and hashes to find them by. */
import { type Field, type FieldName } from '../../message/field.ts';
import { STATIC_ENTRIES, STATIC_NAMES, STATIC_TABLE } from './static-table.ts';

/** How the values of a name are sent; the values of `FieldName.indexing`. */
export const INDEXING = { underived: 0, secret: 1, volatile: 2, adaptive: 3 } as const;

/** Never-indexed: what proves who someone is could be guessed byte by byte through a shared table (RFC 7541 §7.1). */
const SECRET: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);

/** A word of the name says that the value is a secret: x-api-key, x-auth-token, x-amz-security-token. */
const SECRET_WORD =
  /(^|[-_.])(token|secret|password|passwd|credentials?|api[-_]?key|access[-_]?key|auth|jwt|assertion|session|csrf|xsrf)([-_.]|$)/;

/** Differ from call to call. */
const VOLATILE: ReadonlySet<string> = new Set([
  'age',
  'content-length',
  'content-range',
  'date',
  'etag',
  'expires',
  'grpc-message',
  'grpc-timeout',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'jumpgate-timeout',
  'last-modified',
  'location',
  'range',
  'traceparent',
  'tracestate',
  'x-request-id',
]);

/** Whether values of this name are secrets, so that they must never be indexed. */
export function isSecret(name: FieldName): boolean {
  if (name.indexing === INDEXING.underived) deriveName(name);
  return name.indexing === INDEXING.secret;
}

/** Sets what the encoder reads of a name. */
export function deriveName(name: FieldName): void {
  const { text } = name;
  name.staticIndex = STATIC_NAMES.get(text) ?? 0;
  name.hash = hashText(text, 1);
  if (SECRET.has(text) || SECRET_WORD.test(text)) name.indexing = INDEXING.secret;
  else name.indexing = VOLATILE.has(text) ? INDEXING.volatile : INDEXING.adaptive;
}

/** Sets what the encoder reads of a field whose name is derived. */
export function deriveField(field: Field): void {
  const { name, value } = field;
  field.hash = hashText(value, name.hash);
  field.staticIndex = 0;
  if (name.staticIndex === 0) return;
  for (let index = name.staticIndex; index <= STATIC_ENTRIES; index++) {
    const entry = STATIC_TABLE[index];
    if (entry?.name.text !== name.text) return;
    if (entry.value === value) {
      field.staticIndex = index;
      return;
    }
  }
}

/** Whether two fields are the same on the wire. */
export function sameField(one: Field, other: Field): boolean {
  if (one === other) return true;
  return one.value === other.value && (one.name === other.name || one.name.text === other.name.text);
}

/** Positive, 30 bits. Of a long text its two ends: equality is checked anyway, and hashing is paid for each new value. */
function hashText(text: string, seed: number): number {
  const { length } = text;
  let hash = Math.imul(seed ^ length, 0x9e3779b1);
  const head = Math.min(length, 64);
  for (let i = 0; i < head; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  for (let i = Math.max(head, length - 32); i < length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return (hash & 0x3fffffff) | 1;
}
