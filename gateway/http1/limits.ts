/** What one HTTP/1.1 message may take (security.md §3). Beyond each the connection ends. */
import { METHOD_BYTES_MAX } from '../message/method.ts';

/** Limits of a connection that its owner sets. Sizes are bytes, times milliseconds. */
export interface Http1Limits {
  readonly targetBytesMax: number;
  /** Field lines of a head or of trailers with their line ends. */
  readonly headerBytesMax: number;
  readonly headerFieldsMax: number;
  readonly headerNameBytesMax: number;
  /** Body bytes handed on and not credited, beyond which the socket is not read. */
  readonly windowBytes: number;
  /** For the head of a request, from the connection's start or the request's first byte. */
  readonly headersTimeoutMs: number;
  /** How long an idle connection is kept. */
  readonly idleTimeoutMs: number;
}

/** Towards whoever is not known, where nothing else is configured. */
export const STRANGER_HTTP1: Http1Limits = {
  targetBytesMax: 8 * 1024,
  headerBytesMax: 16 * 1024,
  headerFieldsMax: 100,
  headerNameBytesMax: 256,
  windowBytes: 64 * 1024,
  headersTimeoutMs: 10_000,
  idleTimeoutMs: 5 * 60_000,
};

/** Of a start line, without its line end, around the target: method, version and the spaces between them. */
export const START_LINE_REST_BYTES_MAX = METHOD_BYTES_MAX + ' '.length * 2 + 'HTTP/1.1'.length;

/** Hexadecimal digits of a chunk's size: 2^48 bytes, far from where a double loses count. */
export const CHUNK_DIGITS_MAX = 12;

/** Chunk extensions of one chunk. Nobody uses them; they are bytes that cost and say nothing. */
export const CHUNK_EXTENSION_BYTES_MAX = 128;

/** Chunk extensions of one message, so that chunks of one byte do not carry a hundred others each (CVE-2023-39326). */
export const MESSAGE_EXTENSION_BYTES_MAX = 4 * 1024;

/** Interim responses to one request. */
export const INTERIM_RESPONSES_MAX = 16;
