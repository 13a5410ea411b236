/** A service as a catalogue names it, and what makes a name and a protocol acceptable. */
import { EXPORT_PROTOCOLS, type ExportProtocol } from '../policy/protocol.ts';
import { SERVER_NAMES_MAX, serverNameProblem } from '../policy/server-name.ts';

/** One export as its importer sees it. `protocol` is a string here: a newer peer may know more protocols than we do. */
export interface CatalogueEntry {
  readonly name: string;
  readonly protocol: string;
  /** Names that a ClientHello may ask for, never empty; absent for every protocol but `tls`. */
  readonly serverNames?: readonly string[];
}

/** An entry that a receiver will not use, and why. */
export interface EntryProblem {
  readonly entry: string;
  readonly code: 'name-refused' | 'protocol-unknown' | 'server-names-refused';
  readonly message: string;
}

/** One LDH label (RFC 1123 §2.1), lower case: it becomes part of a host name and of an SNI. */
const SERVICE_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Whether a catalogue may carry `name`. */
function isServiceName(name: string): boolean {
  return SERVICE_NAME.test(name) && name !== 'localhost';
}

/** The protocol called `text`, if this version can forward it. */
export function knownProtocol(text: string | undefined): ExportProtocol | undefined {
  return EXPORT_PROTOCOLS.find((protocol) => protocol === text);
}

/** An entry with nothing else in it, and without an empty list of names. */
export function catalogueEntry({ name, protocol, serverNames = [] }: CatalogueEntry): CatalogueEntry {
  return serverNames.length === 0 ? { name, protocol } : { name, protocol, serverNames: [...serverNames] };
}

/** Whether two entries say the same. */
export function sameEntry(left: CatalogueEntry, right: CatalogueEntry): boolean {
  const [ours, theirs] = [left.serverNames ?? [], right.serverNames ?? []];
  if (left.name !== right.name || left.protocol !== right.protocol || ours.length !== theirs.length) return false;
  return ours.every((name, index) => name === theirs[index]);
}

/** What is wrong with an announced entry, or `undefined`. */
export function entryProblem(entry: CatalogueEntry): EntryProblem | undefined {
  const name = entry.name.slice(0, 80);
  if (!isServiceName(entry.name)) {
    const message = `expected a lower-case DNS label, found ${JSON.stringify(name)}`;
    return { entry: entry.name, code: 'name-refused', message };
  }
  if (knownProtocol(entry.protocol) === undefined) {
    const found = JSON.stringify(entry.protocol.slice(0, 80));
    const message = `expected one of ${EXPORT_PROTOCOLS.join(', ')}, found ${found}: a newer gateway may know it`;
    return { entry: entry.name, code: 'protocol-unknown', message };
  }
  const problem = serverNamesProblem(entry);
  return problem === undefined ? undefined : { entry: entry.name, code: 'server-names-refused', message: problem };
}

function serverNamesProblem({ protocol, serverNames = [] }: CatalogueEntry): string | undefined {
  if (protocol !== 'tls') {
    return serverNames.length === 0 ? undefined : `expected server names with tls only, found some with ${protocol}`;
  }
  if (serverNames.length === 0 || serverNames.length > SERVER_NAMES_MAX) {
    return `expected 1 to ${SERVER_NAMES_MAX} server names with tls, found ${serverNames.length}`;
  }
  for (const name of serverNames) {
    const problem = serverNameProblem(name);
    if (problem !== undefined) return `server name ${JSON.stringify(name.slice(0, 80))}: ${problem}`;
  }
  return undefined;
}
