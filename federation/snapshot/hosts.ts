/** Which host names reach which import. A name that two claim reaches neither: no silent winner. */
import { isIP } from 'node:net';

import { type Import } from '../resources/values.ts';
import { type Condition } from './condition.ts';

const MESH_SUFFIX = 'mesh.internal';
/** RFC 1035 §2.3.4. */
const HOST_OCTETS_MAX = 253;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The host name under which an import always lives. */
function meshHost(exportName: string, peer: string): string {
  return `${exportName}.${peer}.${MESH_SUFFIX}`;
}

/** Why a name cannot be an alias, or `undefined`. */
function aliasProblem(host: string): string | undefined {
  if (host.length > HOST_OCTETS_MAX) return `longer than ${HOST_OCTETS_MAX} octets`;
  if (isIP(host) !== 0) return 'an IP address is no alias';
  const labels = host.split('.');
  const last = labels.at(-1) ?? '';
  if (last === 'jumpgate') return 'names below jumpgate are for gateways';
  if (last === 'localhost') return 'localhost is this machine';
  // RFC 1123 §2.1: were the last label a number, readers would take the name for an address.
  if (/^\d+$/.test(last)) return 'its last label is a number, as in an IP address';
  if (labels.every((label) => LABEL.test(label))) return undefined;
  return 'expected labels of a-z 0-9 and -, at most 63 octets each, lower case, without wildcards';
}

/** The hosts of every import, by the import's name; first the one under the peer's name, then the alias. */
export function assignHosts(imports: readonly Import[]): {
  readonly hosts: ReadonlyMap<string, readonly string[]>;
  readonly conditions: readonly Condition[];
} {
  const conditions: Condition[] = [];
  const mesh = claims(imports, (item) => meshHost(item.spec.export, item.spec.peer));
  const aliases = claims(imports, (item) => usableAlias(item, conditions));
  const hosts = new Map<string, string[]>(imports.map((item) => [item.name, []]));
  for (const [host, claimants] of mesh) {
    if (claimants.length === 1) grant(hosts, claimants, host);
    else conditions.push(...clash(host, claimants));
  }
  for (const [host, claimants] of aliases) {
    // The same import may well say its mesh host again.
    const others = (mesh.get(host) ?? []).filter((other) => !claimants.includes(other));
    if (claimants.length === 1 && others.length === 0) grant(hosts, claimants, host);
    else conditions.push(...clash(host, claimants, others));
  }
  return { hosts, conditions };
}

function usableAlias(item: Import, conditions: Condition[]): string | undefined {
  const { alias } = item.spec;
  const problem = alias === undefined ? undefined : aliasProblem(alias);
  if (alias === undefined || problem === undefined) return alias;
  const message = `alias ${JSON.stringify(alias.slice(0, 80))} is not used: ${problem}`;
  conditions.push({ resource: `Import/${item.name}`, type: 'HostRefused', message, origin: item.origin });
  return undefined;
}

function claims(
  imports: readonly Import[],
  hostOf: (item: Import) => string | undefined,
): ReadonlyMap<string, readonly Import[]> {
  const byHost = new Map<string, Import[]>();
  for (const item of imports) {
    const host = hostOf(item);
    if (host === undefined) continue;
    const claimants = byHost.get(host);
    if (claimants === undefined) byHost.set(host, [item]);
    else claimants.push(item);
  }
  return byHost;
}

function grant(hosts: ReadonlyMap<string, string[]>, claimants: readonly Import[], host: string): void {
  for (const { name } of claimants) {
    const own = hosts.get(name);
    if (own?.includes(host) === false) own.push(host);
  }
}

function clash(host: string, claimants: readonly Import[], owners: readonly Import[] = []): readonly Condition[] {
  const names = [...claimants, ...owners].map((item) => item.name).join(', ');
  const message = `host ${host} is claimed by the imports ${names}; it reaches ${owners[0]?.name ?? 'none of them'}`;
  return claimants.map(({ name, origin }) => ({ resource: `Import/${name}`, type: 'HostClash', message, origin }));
}
