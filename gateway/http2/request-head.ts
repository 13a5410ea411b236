/** Makes a request head of a header block, or says why not (RFC 9113 §8.3.1, RFC 8441 §4). */
import { Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field, fieldName } from '../message/names.ts';
import { type EarlyReason } from '../message/stream.ts';
import { judged, VALIDITY } from './field-rules.ts';

const AUTHORITY = fieldName(':authority');
const NO_AUTHORITY = field(':authority', '');
const NO_PATH = field(':path', '');
const COLON = 0x3a;

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[a-z][a-z0-9+\-.]*$/;
/** Visible ASCII without "#": what every reader behind us takes for the same target. */
const PATH = /^[\x21\x22\x24-\x7e]+$/;
/** Host and port without user information (RFC 9113 §8.3.1). */
const HOST = /^[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]*$/;
const PROTOCOL = METHOD;

/** What the reader is told. */
export interface RequestReaderOptions {
  /** The scheme of the connection: what a client says of it decides nothing. */
  readonly scheme: Field;
  readonly targetBytesMax: number;
}

/** Reads heads; one per connection. */
export class RequestReader {
  /** Of the last head that was read, -1 without. */
  contentLength = -1;
  readonly #options: RequestReaderOptions;
  #method: Field | undefined;
  #scheme: Field | undefined;
  #authority: Field | undefined;
  #path: Field | undefined;
  #protocol: Field | undefined;
  #host: Field | undefined;

  constructor(options: RequestReaderOptions) {
    this.#options = options;
  }

  /** The head, or the reason of the refusal; then `partial` has what could be read. */
  read(fields: readonly Field[]): RequestHead | EarlyReason {
    this.contentLength = -1;
    this.#method = undefined;
    this.#scheme = undefined;
    this.#authority = undefined;
    this.#path = undefined;
    this.#protocol = undefined;
    this.#host = undefined;
    let index = 0;
    for (const pseudo of fields) {
      if (pseudo.name.text.charCodeAt(0) !== COLON) break;
      if (!this.#takePseudo(pseudo)) return 'request-malformed';
      index += 1;
    }
    const rest = fields.slice(index);
    for (const regular of rest) {
      const validity = judged(regular);
      if (validity === VALIDITY.valid) continue;
      if (validity !== VALIDITY.special || !this.#takeSpecial(regular)) return 'header-malformed';
    }
    return this.#head(rest);
  }

  /** What of the last block could be read. */
  partial(): Partial<RequestHead> {
    const authority = this.#authority ?? this.#host;
    return {
      ...(this.#method && { method: this.#method }),
      ...(this.#path && { path: this.#path }),
      ...(authority && { authority }),
    };
  }

  #takePseudo(pseudo: Field): boolean {
    switch (pseudo.name.text) {
      case ':method':
        if (this.#method !== undefined) return false;
        this.#method = pseudo;
        return matches(pseudo, METHOD);
      case ':scheme':
        if (this.#scheme !== undefined) return false;
        this.#scheme = pseudo;
        return matches(pseudo, SCHEME);
      case ':authority':
        if (this.#authority !== undefined) return false;
        this.#authority = pseudo;
        return matches(pseudo, HOST);
      case ':path':
        if (this.#path !== undefined) return false;
        this.#path = pseudo;
        return matches(pseudo, PATH);
      case ':protocol':
        if (this.#protocol !== undefined) return false;
        this.#protocol = pseudo;
        return matches(pseudo, PROTOCOL);
      default:
        return false;
    }
  }

  #takeSpecial(special: Field): boolean {
    if (special.name.text === 'host') {
      if (this.#host !== undefined || !HOST.test(special.value)) return false;
      this.#host = special;
      return true;
    }
    if (this.contentLength >= 0) return false;
    this.contentLength = Number(special.value);
    return true;
  }

  #head(fields: readonly Field[]): RequestHead | EarlyReason {
    const method = this.#method;
    const authority = this.#authorityOf();
    if (method === undefined || authority === undefined) return 'request-malformed';
    const path = this.#path;
    const protocol = this.#protocol;
    const { scheme, targetBytesMax } = this.#options;
    if (method.value === 'CONNECT' && protocol === undefined) {
      if (path !== undefined || this.#scheme !== undefined || authority.value === '') return 'request-malformed';
      return new Head(method, NO_PATH, { authority, scheme, protocol, fields });
    }
    if (path === undefined || this.#scheme === undefined) return 'request-malformed';
    if (protocol !== undefined && (method.value !== 'CONNECT' || authority.value === '')) return 'request-malformed';
    if (path.value.length > targetBytesMax) return 'limit-target';
    const isAsterisk = path.value === '*' && method.value === 'OPTIONS';
    if (path.value.charCodeAt(0) !== 0x2f && !isAsterisk) return 'request-malformed';
    return new Head(method, path, { authority, scheme, protocol, fields });
  }

  /** `undefined` when :authority and Host speak of different hosts. */
  #authorityOf(): Field | undefined {
    const authority = this.#authority;
    const host = this.#host;
    if (host === undefined) return authority ?? NO_AUTHORITY;
    if (authority === undefined) return new Field(AUTHORITY, host.value);
    if (authority.value === host.value) return authority;
    return authority.value.toLowerCase() === host.value.toLowerCase() ? authority : undefined;
  }
}

interface Rest {
  readonly authority: Field;
  readonly scheme: Field;
  readonly protocol: Field | undefined;
  readonly fields: readonly Field[];
}

/** One shape for all heads. */
class Head implements RequestHead {
  readonly method: Field;
  readonly path: Field;
  readonly authority: Field;
  readonly scheme: Field;
  readonly protocol: Field | undefined;
  readonly fields: readonly Field[];

  constructor(method: Field, path: Field, rest: Rest) {
    this.method = method;
    this.path = path;
    this.authority = rest.authority;
    this.scheme = rest.scheme;
    this.protocol = rest.protocol;
    this.fields = rest.fields;
  }
}

function matches(pseudo: Field, pattern: RegExp): boolean {
  if (pseudo.validity === VALIDITY.unknown)
    pseudo.validity = pattern.test(pseudo.value) ? VALIDITY.pseudo : VALIDITY.malformed;
  return pseudo.validity === VALIDITY.pseudo;
}
