/** A service as a catalogue names it, and what makes a name and a protocol acceptable. */
import { type ExportProtocol } from '../resources/values.ts';

/** One export as its importer sees it. `protocol` is a string here: a newer peer may know more protocols than we do. */
export interface CatalogueEntry {
  readonly name: string;
  readonly protocol: string;
}

/** An entry that a receiver will not use, and why. */
export interface EntryProblem {
  readonly entry: string;
  readonly code: 'name-refused' | 'protocol-unknown';
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
  return text === 'http1' || text === 'http2' || text === 'grpc' ? text : undefined;
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
    const message = `expected http1, http2 or grpc, found ${found}: a newer gateway may know it`;
    return { entry: entry.name, code: 'protocol-unknown', message };
  }
  return undefined;
}
