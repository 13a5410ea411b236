/** x-forwarded-host, -proto and -for: written by the gateway where a call enters, and taken over from a peer's gateway only. */
import { isIP } from 'node:net';

import { type RequestFields } from './request-fields.ts';

/** Host names and IP literals with an optional port, bounded as DNS is. */
const HOST = /^[0-9A-Za-z.:[\]_-]{1,262}$/;

/** Keeps of what the peer's gateway (the one trusted hop) wrote what is single and well-formed. */
export function keepForwarded(read: RequestFields): void {
  const { forwardedHost, forwardedProto, forwardedFor } = read;
  if (forwardedHost !== undefined && !HOST.test(forwardedHost.value)) read.forwardedHost = undefined;
  if (forwardedProto !== undefined && !isScheme(forwardedProto.value)) read.forwardedProto = undefined;
  if (forwardedFor !== undefined && isIP(forwardedFor.value) === 0) read.forwardedFor = undefined;
}

function isScheme(text: string): boolean {
  return text === 'http' || text === 'https';
}
