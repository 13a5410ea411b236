/** What one HTTP/1.1 message may take (security.md §3). Beyond each the connection ends. */

/** Request target, bytes. */
export const TARGET_BYTES_MAX = 8 * 1024;

/** A method; the longest registered one (UPDATEREDIRECTREF) has 17 characters. */
export const METHOD_BYTES_MAX = 32;

/** Start line without its line end: method, target, version and the spaces between them. */
export const START_LINE_BYTES_MAX = METHOD_BYTES_MAX + TARGET_BYTES_MAX + ' '.length * 2 + 'HTTP/1.1'.length;

/** Field lines of a head or of trailers with their line ends, bytes; Envoy-like. */
export const HEADER_BYTES_MAX = 16 * 1024;

/** Field lines of a head or of trailers. */
export const HEADER_FIELDS_MAX = 100;

/** The name of a field. */
export const NAME_BYTES_MAX = 256;

/** Hexadecimal digits of a chunk's size: 2^48 bytes, far from where a double loses count. */
export const CHUNK_DIGITS_MAX = 12;

/** Chunk extensions of one chunk. Nobody uses them; they are bytes that cost and say nothing. */
export const CHUNK_EXTENSION_BYTES_MAX = 128;

/** Chunk extensions of one message, so that chunks of one byte do not carry a hundred others each (CVE-2023-39326). */
export const MESSAGE_EXTENSION_BYTES_MAX = 4 * 1024;

/** Body bytes handed on and not credited, beyond which the socket is not read. */
export const WINDOW_BYTES = 64 * 1024;

/** Interim responses to one request. */
export const INTERIM_RESPONSES_MAX = 16;
