/** What one peer may see of our exports. */
import { namesPeer, type NamedPeer } from '../policy/naming.ts';
import { type AllowRule } from '../policy/rule.ts';
import { type ExportProtocol } from '../policy/protocol.ts';
import { catalogueEntry, type CatalogueEntry } from './service.ts';

/** What the catalogue needs of an export; a snapshot's exports have it. */
export interface AnnouncedExport {
  readonly name: string;
  readonly protocol: ExportProtocol;
  readonly serverNames?: readonly string[];
  readonly allow: readonly AllowRule[];
}

/** The exports that some rule names `peer` for, by name: exactly those that are not hidden from it as `no-route`. */
export function exportedTo(exports: Iterable<AnnouncedExport>, peer: NamedPeer): readonly CatalogueEntry[] {
  return [...exports]
    .filter((candidate) => candidate.allow.some((rule) => namesPeer(rule, peer)))
    .map(catalogueEntry)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}
