/** Which route a call takes: host names are normalised once, here, and everything later uses the result. */
import { type Snapshot, type SnapshotExport } from '../../federation/snapshot/snapshot.ts';

/** LDH labels (and underscore, which services use), at most 253 octets. */
const HOST = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** No leading zeros: `:00443` is one more spelling that someone compares differently. */
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;

const PORT_MAX = 65_535;

/** The host name of an authority: lower case, without port and final dot; `undefined` when it is not exactly one host name. */
export function normaliseHost(authority: string): string | undefined {
  const colon = authority.indexOf(':');
  const port = colon === -1 ? undefined : authority.slice(colon + 1);
  if (port !== undefined && !(PORT.test(port) && Number(port) <= PORT_MAX)) return undefined;
  const host = (colon === -1 ? authority : authority.slice(0, colon)).toLowerCase().replace(/\.$/, '');
  return HOST.test(host) ? host : undefined;
}

/** Names that gateways speak to each other under (wire.md, Names). */
export function isReservedHost(host: string): boolean {
  return host === 'jumpgate' || host.endsWith('.jumpgate');
}

/** The export that a link's authority `<export>.<trust domain>` names, byte for byte: only a gateway writes it. */
export function matchExport(snapshot: Snapshot, authority: string): SnapshotExport | undefined {
  const suffix = `.${snapshot.trustDomain}`;
  return authority.endsWith(suffix) ? snapshot.exports.get(authority.slice(0, -suffix.length)) : undefined;
}

/** Longer is more specific; a wildcard segment counts less than a literal one of the same place. */
export function specificity(pattern: string): number {
  const weights = new Map([
    ['**', 0],
    ['*', 1],
  ]);
  return pattern.split('/').reduce((sum, segment) => sum + (weights.get(segment) ?? 2), 0);
}
