/** x-forwarded-host, -proto and -for: written by the gateway where a call enters, and taken over from a peer's gateway only. */
import { isIP } from 'node:net';

import { type HeaderField, type IncomingCall, soleValue } from '../forward/exchange.ts';

/** Host names and IP literals with an optional port, bounded as DNS is. */
const HOST = /^[0-9A-Za-z.:[\]_-]{1,262}$/;

/** What the gateway that took the call in says about it; `client` is the outside address at an edge. */
export function forwardedAtEntry(call: IncomingCall, client?: string): readonly HeaderField[] {
  const fields: HeaderField[] = [
    ['x-forwarded-host', call.authority],
    ['x-forwarded-proto', call.scheme],
  ];
  if (client !== undefined && isIP(client) !== 0) fields.push(['x-forwarded-for', client]);
  return fields;
}

/** The same fields as a peer's gateway wrote them (the one trusted hop), each only when it is single and well-formed. */
export function forwardedFromLink(headers: readonly HeaderField[]): readonly HeaderField[] {
  const host = soleValue(headers, 'x-forwarded-host');
  const proto = soleValue(headers, 'x-forwarded-proto');
  const client = soleValue(headers, 'x-forwarded-for');
  const fields: HeaderField[] = [];
  if (host !== undefined && HOST.test(host)) fields.push(['x-forwarded-host', host]);
  if (proto === 'http' || proto === 'https') fields.push(['x-forwarded-proto', proto]);
  if (client !== undefined && isIP(client) !== 0) fields.push(['x-forwarded-for', client]);
  return fields;
}
