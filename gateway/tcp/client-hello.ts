/**
 * Reads what a TLS client says first, without being its server: the ClientHello out of its records (RFC 8446 §4.1.2,
 * §5.1; RFC 5246 §7.4.1.2), the server name and the protocols in it. The bytes themselves go on unchanged.
 *
 *     +----------+  whole record, message not complete   +----------+
 *     |  header  |-------------------------------------->| (repeat) |
 *     +----------+                                       +----------+
 *        |     \  message complete, at the end of its record
 *        |      `----> hello     all bytes so far, to be forwarded as they came
 *        `-----------> refused   the alert to send, then close
 *
 * Strict where two readers could disagree: an extension that comes twice, two names, a name that is no lower-case-able
 * host name, lengths that do not add up are refused, so that the service cannot read another name than policy judged.
 */
import { isHostName } from '../../federation/resources/fields.ts';
import { ALERT, type Alert, alertRecord } from './alert.ts';

/** A ClientHello, without its 4-byte header; browsers with post-quantum key shares send 2 KiB. */
export const HELLO_BYTES_MAX = 16 * 1024;

/** All that is held before the hello is whole: twice the hello, so that one of 5 KiB may come in records of one byte. */
export const HELD_BYTES_MAX = 32 * 1024;

/** What a ClientHello asks for. */
export interface ClientHello {
  /** Lower-case, without a dot at the end; `undefined` when the client names no server. With ECH it is the outer name. */
  readonly serverName: string | undefined;
  /** Protocol names as offered, in the client's order; empty without ALPN. */
  readonly alpn: readonly string[];
}

/** Why bytes are no ClientHello that can be forwarded. */
export type HelloReason =
  | 'not-tls'
  | 'ssl2-hello'
  | 'record-malformed'
  | 'not-a-client-hello'
  | 'hello-too-long'
  | 'hello-malformed'
  | 'server-name-malformed';

/** A refusal: the message is for the log, `alert` is a whole record for the client. */
export interface HelloRefusal {
  readonly kind: 'refused';
  readonly reason: HelloReason;
  readonly message: string;
  readonly alert: Buffer;
}

/** What is known after some bytes. `bytes` is everything given so far, also what came after the hello. */
export type HelloStep =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'hello'; readonly hello: ClientHello; readonly bytes: Buffer }
  | HelloRefusal;

const INCOMPLETE: HelloStep = { kind: 'incomplete' };
const EMPTY: Buffer = Buffer.alloc(0);
const RECORD_HEADER_BYTES = 5;
/** RFC 8446 §5.1: what a plaintext record may hold. */
const RECORD_BYTES_MAX = 16 * 1024;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MESSAGE_HEADER_BYTES = 4;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
/** More extensions than the registry has names for; each is looked up among those before it. */
const EXTENSIONS_MAX = 128;

/** Reads one connection's first bytes, in whatever pieces they come. Not to be used again after its hello or refusal. */
export class ClientHelloReader {
  #held: Buffer = EMPTY;
  #heldBytes = 0;
  /** Where the next record starts in `#held`. */
  #at = 0;
  #message: Buffer = EMPTY;
  #messageBytes = 0;

  /** Takes the next bytes; empty ones change nothing. */
  read(chunk: Uint8Array): HelloStep {
    // The chunk may be all there ever is: then nothing is copied.
    this.#held = append(this.#held, this.#heldBytes, chunk);
    this.#heldBytes += chunk.length;
    for (;;) {
      const record = this.#record();
      if (record === undefined) break;
      if (!(record instanceof Uint8Array)) return record;
      this.#message = append(this.#message, this.#messageBytes, record);
      this.#messageBytes += record.length;
      const step = this.#whole();
      if (step !== undefined) return step;
    }
    if (this.#heldBytes <= HELD_BYTES_MAX) return INCOMPLETE;
    const message = `expected a whole ClientHello within ${HELD_BYTES_MAX} bytes of records, found none`;
    return refused('hello-too-long', ALERT.illegalParameter, message);
  }

  /** The content of the next whole record; `undefined` while it is not all there. */
  #record(): Uint8Array | HelloRefusal | undefined {
    const start = this.#at;
    const bytes = this.#heldBytes - start;
    const held = this.#held;
    const type = bytes > 0 ? held[start] : undefined;
    if (type === undefined) return undefined;
    if (type !== HANDSHAKE_RECORD) return notTls(type, start === 0);
    if (bytes > 1 && held[start + 1] !== 3) {
      const message = `expected a record of TLS (major version 3), found version ${held[start + 1]}`;
      return refused('record-malformed', ALERT.protocolVersion, message);
    }
    if (bytes < RECORD_HEADER_BYTES) return undefined;
    const length = held.readUInt16BE(start + 3);
    // RFC 8446 §5.1: no empty fragments of handshake messages.
    if (length === 0) {
      return refused('record-malformed', ALERT.unexpectedMessage, 'expected handshake bytes, found an empty record');
    }
    if (length > RECORD_BYTES_MAX) {
      const message = `expected a record of at most ${RECORD_BYTES_MAX} bytes, found ${length}`;
      return refused('record-malformed', ALERT.recordOverflow, message);
    }
    const end = start + RECORD_HEADER_BYTES + length;
    if (this.#heldBytes < end) return undefined;
    this.#at = end;
    return held.subarray(start + RECORD_HEADER_BYTES, end);
  }

  /** The outcome once the handshake message is whole; `undefined` while it is not. */
  #whole(): HelloStep | undefined {
    const type = this.#message[0];
    if (type !== CLIENT_HELLO) {
      const message = `expected a ClientHello (type ${CLIENT_HELLO}), found a handshake message of type ${type}`;
      return refused('not-a-client-hello', ALERT.unexpectedMessage, message);
    }
    if (this.#messageBytes < MESSAGE_HEADER_BYTES) return undefined;
    const length = this.#message.readUIntBE(1, 3);
    if (length > HELLO_BYTES_MAX) {
      const message = `expected a ClientHello of at most ${HELLO_BYTES_MAX} bytes, found ${length}`;
      return refused('hello-too-long', ALERT.illegalParameter, message);
    }
    const end = MESSAGE_HEADER_BYTES + length;
    if (this.#messageBytes < end) return undefined;
    if (this.#messageBytes > end) {
      const message = 'expected the record to end with the ClientHello, found another message in it';
      return refused('not-a-client-hello', ALERT.unexpectedMessage, message);
    }
    const hello = parseHello(this.#message.subarray(MESSAGE_HEADER_BYTES, end));
    if ('kind' in hello) return hello;
    return { kind: 'hello', hello, bytes: this.#held.subarray(0, this.#heldBytes) };
  }
}

function refused(reason: HelloReason, alert: Alert, message: string): HelloRefusal {
  return { kind: 'refused', reason, message, alert: alertRecord(alert) };
}

function malformed(what: string): HelloRefusal {
  return refused('hello-malformed', ALERT.decodeError, `expected ${what} in the ClientHello, found other bytes`);
}

/** SSLv2 sets the top bit of its two-byte length (RFC 5246 appendix E.2), which no TLS record type has. */
function notTls(type: number, first: boolean): HelloRefusal {
  if (first && type >= 0x80) {
    return refused(
      'ssl2-hello',
      ALERT.protocolVersion,
      'expected a TLS record, found the first byte of an SSLv2 hello',
    );
  }
  const reason = first ? 'not-tls' : 'record-malformed';
  const message = `expected a handshake record (type ${HANDSHAKE_RECORD}), found type ${type}`;
  return refused(reason, ALERT.unexpectedMessage, message);
}

/** `buffer`, of which the first `bytes` count, with `chunk` after them; grows by doubling. */
function append(buffer: Buffer, bytes: number, chunk: Uint8Array): Buffer {
  if (bytes === 0) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  const needed = bytes + chunk.length;
  // What is full may be the caller's own memory: it is never written to, since its length is exactly what counts.
  const grown = needed <= buffer.length ? buffer : Buffer.allocUnsafeSlow(Math.max(needed, 2 * buffer.length));
  if (grown !== buffer) buffer.copy(grown, 0, 0, bytes);
  grown.set(chunk, bytes);
  return grown;
}

/** A vector: its content lies from `start` to `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** The vector at `at` whose length has `lengthBytes` bytes; `undefined` when it does not fit before `limit`. */
function vector(bytes: Buffer, at: number, lengthBytes: 1 | 2, limit: number): Span | undefined {
  const start = at + lengthBytes;
  if (start > limit) return undefined;
  const end = start + bytes.readUIntBE(at, lengthBytes);
  return end > limit ? undefined : { start, end };
}

/** Version and random of a ClientHello. */
const FIXED_BYTES = 2 + 32;

function parseHello(body: Buffer): ClientHello | HelloRefusal {
  const session = vector(body, FIXED_BYTES, 1, body.length);
  if (session === undefined || session.end - session.start > 32) return malformed('a session id of at most 32 bytes');
  const ciphers = vector(body, session.end, 2, body.length);
  const cipherBytes = ciphers === undefined ? 0 : ciphers.end - ciphers.start;
  if (ciphers === undefined || cipherBytes === 0 || cipherBytes % 2 !== 0)
    return malformed('cipher suites of two bytes');
  const compressions = vector(body, ciphers.end, 1, body.length);
  if (compressions === undefined || compressions.end === compressions.start) return malformed('compression methods');
  // RFC 5246 §7.4.1.2: a hello may end here, without any extensions.
  if (compressions.end === body.length) return { serverName: undefined, alpn: [] };
  const extensions = vector(body, compressions.end, 2, body.length);
  if (extensions?.end !== body.length) return malformed('extensions to its end');
  return parseExtensions(body, extensions);
}

function parseExtensions(body: Buffer, { start, end }: Span): ClientHello | HelloRefusal {
  const seen: number[] = [];
  let serverName: string | undefined;
  let alpn: readonly string[] = [];
  for (let at = start; at < end;) {
    const extension = vector(body, at + 2, 2, end);
    if (extension === undefined) return malformed('whole extensions');
    const type = body.readUInt16BE(at);
    at = extension.end;
    if (seen.includes(type) || seen.length >= EXTENSIONS_MAX) {
      const message = `expected at most ${EXTENSIONS_MAX} extensions, each once, found extension ${type} again or more of them`;
      return refused('hello-malformed', ALERT.illegalParameter, message);
    }
    seen.push(type);
    if (type === EXTENSION_SERVER_NAME) {
      const name = parseServerName(body, extension);
      if (typeof name !== 'string') return name;
      serverName = name;
    } else if (type === EXTENSION_ALPN) {
      const names = parseAlpn(body, extension);
      if (names === undefined) return malformed('a list of protocol names');
      alpn = names;
    }
  }
  return { serverName, alpn };
}

const HOST_NAME_TYPE = 0;

/** RFC 6066 §3: a list that has exactly one host name here, and nothing else. */
function parseServerName(body: Buffer, extension: Span): string | HelloRefusal {
  const list = vector(body, extension.start, 2, extension.end);
  if (list?.end !== extension.end || list.start === list.end) return malformed('a list of server names');
  const name = vector(body, list.start + 1, 2, list.end);
  if (body[list.start] !== HOST_NAME_TYPE || name?.end !== list.end) return malformed('exactly one host name');
  // As latin1 every byte is one character, so what is not ASCII fails the test below and is never folded into it.
  const written = body.toString('latin1', name.start, name.end);
  if (/^[A-Za-z0-9.-]+$/.test(written) && isHostName(written.toLowerCase())) return written.toLowerCase();
  const found = JSON.stringify(written.slice(0, 80));
  const message = `expected a host name without a dot at its end, and no IP address, as server name, found ${found}`;
  return refused('server-name-malformed', ALERT.illegalParameter, message);
}

/** RFC 7301 §3.1: a list of at least one name, none of them empty. */
function parseAlpn(body: Buffer, extension: Span): readonly string[] | undefined {
  const list = vector(body, extension.start, 2, extension.end);
  if (list?.end !== extension.end || list.start === list.end) return undefined;
  const names: string[] = [];
  for (let at = list.start; at < list.end;) {
    const name = vector(body, at, 1, list.end);
    if (name === undefined || name.start === name.end) return undefined;
    names.push(body.toString('latin1', name.start, name.end));
    at = name.end;
  }
  return names;
}
