/** Makes a response head of a header block (RFC 9113 §8.3.2). */
import { type Field } from '../message/field.ts';
import { field } from '../message/names.ts';
import { judged, VALIDITY } from './field-rules.ts';

const STATUS_MIN = 100;
const STATUS_MAX = 599;

/** Status fields by status, made once. */
const STATUS_FIELDS: readonly Field[] = Array.from({ length: STATUS_MAX - STATUS_MIN + 1 }, (_, index) =>
  field(':status', String(STATUS_MIN + index)),
);

const INTERNAL_SERVER_ERROR = field(':status', '500');

/** The `:status` field of a status from 100 to 599; any other becomes 500. */
export function statusField(status: number): Field {
  return STATUS_FIELDS[status - STATUS_MIN] ?? INTERNAL_SERVER_ERROR;
}

/** Reads heads; one per connection. Its members tell of the last one. */
export class ResponseReader {
  status = 0;
  fields: readonly Field[] = [];
  /** -1 without. */
  contentLength = -1;

  /** Whether the block is a response. */
  read(fields: readonly Field[]): boolean {
    this.contentLength = -1;
    const [status] = fields;
    if (status?.name.text !== ':status') return false;
    this.status = statusOf(status.value);
    if (this.status === 0) return false;
    const rest = fields.slice(1);
    for (const regular of rest) {
      const validity = judged(regular);
      if (validity === VALIDITY.valid) continue;
      if (validity !== VALIDITY.special || !this.#takeSpecial(regular)) return false;
    }
    this.fields = rest;
    return true;
  }

  #takeSpecial(special: Field): boolean {
    // Host means nothing in a response.
    if (special.name.text === 'host') return true;
    if (this.contentLength >= 0) return false;
    this.contentLength = Number(special.value);
    return true;
  }
}

/** 0 if it is none, or 101, which HTTP/2 does not have (RFC 9113 §8.6). */
function statusOf(value: string): number {
  if (value.length !== 3) return 0;
  let status = 0;
  for (let at = 0; at < 3; at += 1) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    status = status * 10 + digit;
  }
  return status < STATUS_MIN || status > STATUS_MAX || status === 101 ? 0 : status;
}
