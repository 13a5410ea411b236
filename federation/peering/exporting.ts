/** Our half of a session: what we tell the peer of our exports. One version is under way at a time; the peer's ack is the credit for the next. */
import { diffCatalogues } from '../catalogue/diff.ts';
import { catalogueDigest } from '../catalogue/digest.ts';
import { type CatalogueEntry } from '../catalogue/service.ts';
import { type Frame, FRAME_BYTES_MAX, type Rejection } from './frame.ts';

/** A chunk stays far below the frame limit, and heartbeats get in between chunks. */
const ENTRIES_PER_CHUNK = 500;

/** Half of the frame limit: entries of tls exports have names of up to 4 KiB in all. */
const CHUNK_BYTES_MAX = FRAME_BYTES_MAX / 2;

/** The state of our half. Versions are max(previous + 1, milliseconds since 1970), so they grow across streams and restarts. */
export interface Exporting {
  /** The newest catalogue, sent or not; `undefined` before the first offer. */
  readonly newest: readonly CatalogueEntry[] | undefined;
  /** The catalogue last sent; `undefined` before the first. */
  readonly sent: readonly CatalogueEntry[] | undefined;
  /** Version of `sent`; 0 before the first. */
  readonly version: bigint;
  /** When the version under way was sent; `undefined` when the peer has answered. */
  readonly unansweredSinceMs: number | undefined;
  readonly appliedVersion: bigint;
  /** Entries that the peer will not use. */
  readonly rejections: readonly Rejection[];
}

/** Facts that go with what is sent. */
export interface ExportFacts {
  /** Monotonic milliseconds, for waiting. */
  readonly monotonicMs: number;
  /** Milliseconds since 1970, for versions. */
  readonly wallMs: number;
  readonly bundleSequence: bigint | undefined;
}

/** A new state and the frames to send; `problem` means that the peer broke the protocol. */
export interface ExportStep {
  readonly exporting: Exporting;
  readonly frames: readonly Frame[];
  readonly problem?: string;
}

/** Nothing offered, nothing sent. */
export const NOTHING_EXPORTED: Exporting = {
  newest: undefined,
  sent: undefined,
  version: 0n,
  unansweredSinceMs: undefined,
  appliedVersion: 0n,
  rejections: [],
};

/** Digest of the newest catalogue; '' when there is none. */
export function newestDigest(exporting: Exporting): string {
  return exporting.newest === undefined ? '' : catalogueDigest(exporting.newest);
}

/** The peer has opened, holding the catalogue with `heldDigest` ('' for none): confirm it or send everything. */
export function beginExporting(exporting: Exporting, heldDigest: string, facts: ExportFacts): ExportStep {
  const newest = exporting.newest ?? [];
  const begun = { ...exporting, newest };
  if (heldDigest !== '' && heldDigest === catalogueDigest(newest)) return sendDelta(begun, newest, facts);
  return sendSnapshot(begun, facts);
}

/** Our exports are now `entries`: sent at once when the peer has answered the version before, else after its answer. */
export function offerExports(exporting: Exporting, entries: readonly CatalogueEntry[], facts: ExportFacts): ExportStep {
  const next = { ...exporting, newest: entries };
  if (exporting.sent === undefined || exporting.unansweredSinceMs !== undefined) return { exporting: next, frames: [] };
  return sendNewest(next, facts);
}

/** The peer has applied `version`. */
export function acknowledged(exporting: Exporting, version: bigint, facts: ExportFacts): ExportStep {
  if (exporting.unansweredSinceMs === undefined || version !== exporting.version) {
    const problem = `expected an ack of version ${exporting.version} under way, found one of ${version}`;
    return { exporting, frames: [], problem };
  }
  return sendNewest({ ...exporting, appliedVersion: version, unansweredSinceMs: undefined }, facts);
}

/** The peer refuses entries of `version`, or, without rejections, all of it: then it gets everything anew. */
export function refused(
  exporting: Exporting,
  nack: { readonly version: bigint; readonly rejections: readonly Rejection[] },
  facts: ExportFacts,
): ExportStep {
  if (exporting.unansweredSinceMs === undefined || nack.version !== exporting.version) {
    const problem = `expected a nack of version ${exporting.version} under way, found one of ${nack.version}`;
    return { exporting, frames: [], problem };
  }
  if (nack.rejections.length > 0) return { exporting: { ...exporting, rejections: nack.rejections }, frames: [] };
  return sendSnapshot(exporting, facts);
}

function sendNewest(exporting: Exporting, facts: ExportFacts): ExportStep {
  const { newest, sent } = exporting;
  if (newest === undefined || sent === undefined) return { exporting, frames: [] };
  if (catalogueDigest(newest) === catalogueDigest(sent)) return { exporting, frames: [] };
  return sendDelta(exporting, sent, facts);
}

function sendDelta(exporting: Exporting, base: readonly CatalogueEntry[], facts: ExportFacts): ExportStep {
  const newest = exporting.newest ?? [];
  const { added, changed: altered, removed } = diffCatalogues(base, newest);
  const changed = [...altered, ...added];
  const fits = changed.length + removed.length <= ENTRIES_PER_CHUNK && chunksOf(changed).length === 1;
  if (!fits) return sendSnapshot(exporting, facts);
  const version = nextVersion(exporting, facts);
  const digests = { baseDigest: catalogueDigest(base), digest: catalogueDigest(newest) };
  const { bundleSequence } = facts;
  const frame: Frame = { kind: 'delta', version, changed, removed, bundleSequence, ...digests };
  return { exporting: underWay(exporting, version, facts), frames: [frame] };
}

function sendSnapshot(exporting: Exporting, facts: ExportFacts): ExportStep {
  const newest = exporting.newest ?? [];
  const version = nextVersion(exporting, facts);
  const frames: Frame[] = [];
  const chunks = chunksOf(newest);
  for (const [index, entries] of chunks.entries()) {
    const end = index === chunks.length - 1;
    const total = { count: end ? newest.length : 0, digest: end ? catalogueDigest(newest) : '' };
    frames.push({ kind: 'snapshot', version, entries, end, ...total, bundleSequence: facts.bundleSequence });
  }
  return { exporting: underWay(exporting, version, facts), frames };
}

/** At least one chunk, which may be empty. */
function chunksOf(entries: readonly CatalogueEntry[]): readonly (readonly CatalogueEntry[])[] {
  let chunk: CatalogueEntry[] = [];
  const chunks = [chunk];
  let bytes = 0;
  for (const entry of entries) {
    const size = entryBytes(entry);
    if (chunk.length === ENTRIES_PER_CHUNK || bytes + size > CHUNK_BYTES_MAX) {
      chunk = [];
      chunks.push(chunk);
      bytes = 0;
    }
    chunk.push(entry);
    bytes += size;
  }
  return chunks;
}

/** Tag and length of each text, and of the entry, are at most 4 bytes together. */
function entryBytes({ name, protocol, serverNames = [] }: CatalogueEntry): number {
  return [name, protocol, ...serverNames].reduce((sum, text) => sum + Buffer.byteLength(text) + 4, 4);
}

function underWay(exporting: Exporting, version: bigint, facts: ExportFacts): Exporting {
  const sent = exporting.newest ?? [];
  return { ...exporting, newest: sent, sent, version, unansweredSinceMs: facts.monotonicMs, rejections: [] };
}

function nextVersion(exporting: Exporting, facts: ExportFacts): bigint {
  const byClock = BigInt(Math.max(1, Math.floor(facts.wallMs)));
  return byClock > exporting.version ? byClock : exporting.version + 1n;
}
