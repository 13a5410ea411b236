/**
 * Digests that both sides of a catalogue compute alike. Canonical encoding: every text as its length in UTF-8 octets
 * (4 octets, big-endian) and those octets; an entry is its name and its protocol, and if it has server names (of another kind then), their number (4 octets) and they
 * themselves in order; a catalogue is the number of its
 * entries (4 octets) and, sorted by the octets of the names, each name with its entry's hash (32 octets). Each encoding
 * starts with a text that names its kind and version, so that no entry hash is ever a catalogue digest.
 */
import { createHash } from 'node:crypto';

import { type CatalogueEntry } from './service.ts';

const ENTRY_KIND = 'jumpgate.catalogue.entry.v1';
const NAMED_ENTRY_KIND = 'jumpgate.catalogue.entry.v2';
const CATALOGUE_KIND = 'jumpgate.catalogue.v1';

/** SHA-256 of an entry, lower-case hex. */
export function entryHash(entry: CatalogueEntry): string {
  const { name, protocol, serverNames = [] } = entry;
  if (serverNames.length === 0) return sha256([text(ENTRY_KIND), text(name), text(protocol)]);
  const names = [uint32(serverNames.length), ...serverNames.map(text)];
  return sha256([text(NAMED_ENTRY_KIND), text(name), text(protocol), ...names]);
}

/** SHA-256 of a catalogue, lower-case hex, whatever the order of `entries`. Names are expected once each. */
export function catalogueDigest(entries: Iterable<CatalogueEntry>): string {
  const rows = [...entries].map((entry) => ({ name: Buffer.from(entry.name, 'utf8'), entry }));
  rows.sort((left, right) => Buffer.compare(left.name, right.name));
  const parts = rows.flatMap(({ entry }) => [text(entry.name), Buffer.from(entryHash(entry), 'hex')]);
  return sha256([text(CATALOGUE_KIND), uint32(rows.length), ...parts]);
}

function sha256(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function text(value: string): Uint8Array {
  const octets = Buffer.from(value, 'utf8');
  return Buffer.concat([uint32(octets.length), octets]);
}

function uint32(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
}
