/** HTTP/1.1 requests as text, for the tests of what a hostile one does. */

/** The field that every request has. */
export const HOST = 'Host: a\r\n';
/** What must never be read as a request of its own. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** A POST with these field lines after Host, and {@link SMUGGLED} behind its head. */
export function post(fields: string): string {
  return `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${SMUGGLED}`;
}

/** A GET with these field lines after Host. */
export function get(fields: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
}

/** A POST with this chunked body, framing included. */
export function chunked(body: string): string {
  return `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`;
}
