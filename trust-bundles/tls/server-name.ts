/** Which host names may be sent as SNI. */
import { isIP } from 'node:net';

/** RFC 1035 §2.3.4, without the trailing dot. */
const NAME_OCTETS_MAX = 253;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The SNI for `host`: letters, digits and hyphens, labels of at most 63 octets, lower-case, no trailing dot.
 * `undefined` for IP literals (RFC 6066 §3) and every other name, which then is dialled without SNI.
 */
export function serverNameFor(host: string): string | undefined {
  const name = (host.endsWith('.') ? host.slice(0, -1) : host).toLowerCase();
  if (name.length > NAME_OCTETS_MAX || isIP(name) !== 0) return undefined;
  return name.split('.').every((label) => LABEL.test(label)) ? name : undefined;
}
