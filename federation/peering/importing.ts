/** The peer's half of a session: what it tells us of its exports, put together, checked by digest and held until applied. */
import {
  applyUpdate,
  CATALOGUE_ENTRIES_MAX,
  EMPTY_CATALOGUE,
  importedDigest,
  type CatalogueOutcome,
  type CatalogueUpdate,
  type ImportedCatalogue,
} from '../catalogue/imported.ts';
import { type CatalogueEntry } from '../catalogue/service.ts';
import { type DeltaFrame, type Frame, type SnapshotFrame } from './frame.ts';

/** More rejections than this fit in no message; the rest stays quarantined without being told. */
const REJECTIONS_TOLD_MAX = 500;

/** A snapshot that drops more than half of at least this many imports is held back (federation.md, rule 5). */
const MASS_WITHDRAWAL_MIN = 20;

/** Chunks of one catalogue: 10,000 entries in the smallest chunks that anybody has a reason to send. */
const CHUNKS_MAX = 1_000;

/** A complete catalogue of the peer with what came beside it. */
export interface HeldCatalogue {
  readonly catalogue: ImportedCatalogue;
  /** Over everything announced, quarantined entries included. */
  readonly digest: string;
  /** The sequence of the peer's bundle that the catalogue was made under. */
  readonly bundleSequence: bigint | undefined;
}

/** The state of the peer's half. */
export interface Importing {
  /** The last complete catalogue, perhaps of an earlier stream. */
  readonly held: HeldCatalogue | undefined;
  /** Chunks that have come of a snapshot. */
  readonly assembling: Assembling | undefined;
  /** A snapshot that drops too much to be believed at once. */
  readonly doubted: HeldCatalogue | undefined;
  /** The version that the applier works on: until it is done the peer has no credit. */
  readonly applying: bigint | undefined;
  /** The highest version that came on this stream. */
  readonly seen: bigint;
  readonly appliedVersion: bigint;
  /** A whole version was refused, so a snapshot must come next. */
  readonly resyncing: boolean;
}

interface Assembling {
  readonly version: bigint;
  readonly chunks: readonly (readonly CatalogueEntry[])[];
  readonly count: number;
}

/** A new state, frames to send, a catalogue to apply; `problem` means that the peer broke the protocol. */
export interface ImportStep {
  readonly importing: Importing;
  readonly frames: readonly Frame[];
  readonly apply?: HeldCatalogue;
  readonly problem?: string;
}

/** Nothing heard on this stream; `held` is what an earlier stream left. */
export function nothingImported(held: HeldCatalogue | undefined): Importing {
  const empty = { assembling: undefined, doubted: undefined, applying: undefined };
  return { held, ...empty, seen: 0n, appliedVersion: 0n, resyncing: false };
}

/** A chunk of a full catalogue has come. */
export function snapshotReceived(importing: Importing, frame: SnapshotFrame, wallMs: number): ImportStep {
  const problem = outOfTurn(importing, frame);
  if (problem !== undefined) return broken(importing, problem);
  const chunks = [...(importing.assembling?.chunks ?? []), frame.entries];
  const count = (importing.assembling?.count ?? 0) + frame.entries.length;
  if (count > CATALOGUE_ENTRIES_MAX || chunks.length > CHUNKS_MAX) {
    return broken(importing, `expected at most ${CATALOGUE_ENTRIES_MAX} exports in ${CHUNKS_MAX} chunks, found more`);
  }
  const { version } = frame;
  if (!frame.end)
    return { importing: { ...importing, seen: version, assembling: { version, chunks, count } }, frames: [] };
  const whole = { ...importing, seen: version, assembling: undefined };
  const outcome = update(undefined, { kind: 'snapshot', version, entries: chunks.flat() }, wallMs);
  if (outcome.kind === 'refused') return broken(whole, outcome.message);
  if (frame.count !== count || importedDigest(outcome.state) !== frame.digest) {
    const text = `expected ${frame.count} exports with the digest that came with them, found ${count} and another digest`;
    return refuseWhole(whole, version, { code: 'digest-mismatch', message: text });
  }
  const received = { catalogue: outcome.state, digest: frame.digest, bundleSequence: frame.bundleSequence };
  if (withdrawsTooMuch(importing.held, received)) return { importing: { ...whole, doubted: received }, frames: [] };
  return accept(whole, received);
}

/** A change of the catalogue has come. */
export function deltaReceived(importing: Importing, frame: DeltaFrame, wallMs: number): ImportStep {
  const problem =
    importing.assembling === undefined ? outOfTurn(importing, frame) : 'expected the rest of a snapshot, found a delta';
  if (problem !== undefined) return broken(importing, problem);
  const { version, changed, removed, digest, bundleSequence } = frame;
  const heard = { ...importing, seen: version };
  if (importing.held?.digest !== frame.baseDigest) {
    const message = 'expected a change of the catalogue held here, found one of another';
    return refuseWhole(heard, version, { code: 'base-unknown', message });
  }
  const outcome = update(importing.held.catalogue, { kind: 'delta', base: 0n, version, changed, removed }, wallMs);
  if (outcome.kind === 'refused') return broken(heard, outcome.message);
  if (importedDigest(outcome.state) !== digest) {
    const message = 'expected the digest that came with the change, found another after making it';
    return refuseWhole(heard, version, { code: 'digest-mismatch', message });
  }
  return accept(heard, { catalogue: outcome.state, digest, bundleSequence });
}

/** The applier has finished with `version`. */
export function applied(importing: Importing, version: bigint): ImportStep {
  if (importing.applying !== version) return { importing, frames: [] };
  const done = { ...importing, applying: undefined, appliedVersion: version };
  const rejections = importing.held?.catalogue.problems.slice(0, REJECTIONS_TOLD_MAX) ?? [];
  const frames: Frame[] = [];
  if (rejections.length > 0) {
    const message = 'these exports are not used here';
    frames.push({ kind: 'nack', version, code: 'entries-refused', message, rejections });
  }
  frames.push({ kind: 'ack', version });
  return { importing: done, frames };
}

/** A heartbeat says which catalogue the peer has now: it confirms a doubted one, or drops it. */
export function digestHeard(importing: Importing, digest: string): ImportStep {
  const { doubted } = importing;
  if (doubted === undefined) return { importing, frames: [] };
  const settled = { ...importing, doubted: undefined };
  if (doubted.digest === digest) return accept(settled, doubted);
  const message = 'a snapshot that dropped most exports was not confirmed';
  return refuseWhole(settled, doubted.catalogue.version, { code: 'mass-withdrawal', message });
}

/** Versions order the updates of one stream (`outOfTurn`); what an earlier stream left counts by its digest alone. */
function update(base: ImportedCatalogue | undefined, change: CatalogueUpdate, wallMs: number): CatalogueOutcome {
  return applyUpdate({ ...(base ?? EMPTY_CATALOGUE), version: 0n }, change, wallMs);
}

function outOfTurn(importing: Importing, frame: SnapshotFrame | DeltaFrame): string | undefined {
  const { assembling, applying, doubted, resyncing, seen } = importing;
  if (applying !== undefined || doubted !== undefined) {
    return `expected nothing until version ${seen} is answered, found version ${frame.version}`;
  }
  if (resyncing && frame.kind === 'delta') return 'expected the snapshot that was asked for, found a delta';
  if (assembling !== undefined && assembling.version !== frame.version) {
    return `expected more of version ${assembling.version}, found version ${frame.version}`;
  }
  if (assembling === undefined && frame.version <= seen) {
    return `expected a version above ${seen}, found ${frame.version}`;
  }
  return undefined;
}

function accept(importing: Importing, held: HeldCatalogue): ImportStep {
  const next = { ...importing, held, applying: held.catalogue.version, resyncing: false };
  return { importing: next, frames: [], apply: held };
}

/** Asks for a snapshot, once: a peer whose snapshot is wrong as well is not asked a third time. */
function refuseWhole(importing: Importing, version: bigint, why: { code: string; message: string }): ImportStep {
  if (importing.resyncing) return broken(importing, `${why.message}, for the second time`);
  const frame: Frame = { kind: 'nack', version, ...why, rejections: [] };
  return { importing: { ...importing, resyncing: true }, frames: [frame] };
}

function broken(importing: Importing, problem: string): ImportStep {
  return { importing, frames: [], problem };
}

function withdrawsTooMuch(held: HeldCatalogue | undefined, received: HeldCatalogue): boolean {
  const before = held?.catalogue.entries ?? new Map<string, CatalogueEntry>();
  if (before.size < MASS_WITHDRAWAL_MIN) return false;
  const dropped = [...before.keys()].filter((name) => !received.catalogue.entries.has(name)).length;
  return dropped * 2 > before.size;
}
