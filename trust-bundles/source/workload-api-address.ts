/** Where a SPIFFE Workload API is served (SPIFFE Workload Endpoint §4). */
import { isIP } from 'node:net';

/** A Unix socket by absolute path, or a TCP address by IP. */
export type WorkloadApiAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** What is expected of an address, for messages. */
export const WORKLOAD_API_ADDRESS = 'unix:///absolute/path or tcp://IP:PORT, and nothing else in it';

/**
 * Reads an address as the specification allows it: `unix` without authority and with an absolute path, `tcp` with an IP
 * and a port; neither with user, query or fragment. By hand, since URL parsers mend what must be refused.
 */
export function readWorkloadApiAddress(text: string): WorkloadApiAddress | undefined {
  const path = /^unix:(?:\/\/)?(\/[^\0-\x1f?#%]+)$/.exec(text)?.[1];
  if (path !== undefined) return path.startsWith('//') ? undefined : { kind: 'unix', path };
  const [, v6, v4, digits] = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})\/?$/.exec(text) ?? [];
  const host = v6 ?? v4;
  const port = Number(digits);
  if (host === undefined || port > 65_535 || isIP(host) !== (v6 === undefined ? 4 : 6)) return undefined;
  return { kind: 'tcp', host, port };
}
