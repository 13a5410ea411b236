/** What a client's connection begins with (RFC 9113 §3.4). */

/** "PRI * HTTP/2.0", which no HTTP/1.1 server takes for a request. */
export const PREFACE: Uint8Array = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
