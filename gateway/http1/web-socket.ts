/** The opening handshake of WebSocket on HTTP/1.1 (RFC 6455 §4), whose key RFC 8441 §5 does without. */
import { createHash, randomBytes } from 'node:crypto';

const KEY_BYTES = 16;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** A key for a request. */
export function newWebSocketKey(): string {
  return randomBytes(KEY_BYTES).toString('base64');
}

/** Whether `value` can be the key of a request. */
export function isWebSocketKey(value: string): boolean {
  return KEY.test(value);
}

/** What a server that accepts the key says in Sec-WebSocket-Accept. */
export function webSocketAccept(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}
