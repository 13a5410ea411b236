/** What one peer has announced to us, as an immutable value of plain data. */
import { catalogueDigest } from './digest.ts';
import { catalogueEntry, entryProblem, type CatalogueEntry, type EntryProblem } from './service.ts';

/** What one peer may announce (security.md, limits: catalogue rows per peer). */
export const CATALOGUE_ENTRIES_MAX = 10_000;

/** Server names of all entries together: two for each entry there may be. */
export const CATALOGUE_SERVER_NAMES_MAX = 20_000;

/** The catalogue of one peer. */
export interface ImportedCatalogue {
  /** The peer's own counter; 0 before anything came. */
  readonly version: bigint;
  /** By name. Entries of unknown protocols are kept, so that the digest holds, and are not usable. */
  readonly entries: ReadonlyMap<string, CatalogueEntry>;
  /** What is not usable, and why. */
  readonly problems: readonly EntryProblem[];
  /** False until the first whole catalogue has come: before it, a missing name says nothing. */
  readonly complete: boolean;
  /** When the peer last confirmed this catalogue, milliseconds since 1970; `undefined` for never. */
  readonly lastHeardMs: number | undefined;
}

/** A whole catalogue, or a change of the one with version `base`. */
export type CatalogueUpdate =
  | { readonly kind: 'snapshot'; readonly version: bigint; readonly entries: readonly CatalogueEntry[] }
  | {
      readonly kind: 'delta';
      readonly base: bigint;
      readonly version: bigint;
      readonly changed: readonly CatalogueEntry[];
      readonly removed: readonly string[];
    };

/** Outcome of an update: the new state with what the peer is to be told of single entries, or a refusal that leaves the old state. */
export type CatalogueOutcome =
  | { readonly kind: 'applied'; readonly state: ImportedCatalogue; readonly nacks: readonly EntryProblem[] }
  | {
      readonly kind: 'refused';
      readonly code: 'base-unknown' | 'version-rollback' | 'too-many-entries' | 'entry-repeated';
      readonly message: string;
    };

/** Nothing heard yet. */
export const EMPTY_CATALOGUE: ImportedCatalogue = {
  version: 0n,
  entries: new Map(),
  problems: [],
  complete: false,
  lastHeardMs: undefined,
};

/** The state after an update that came at `nowMs`. A bad entry is quarantined alone; the rest of the update holds. */
export function applyUpdate(state: ImportedCatalogue, update: CatalogueUpdate, nowMs: number): CatalogueOutcome {
  if (update.version < state.version) {
    const message = `expected version ${state.version} or later, found ${update.version}`;
    return { kind: 'refused', code: 'version-rollback', message };
  }
  if (update.kind === 'delta' && (!state.complete || update.base !== state.version)) {
    const message = `expected a change of version ${state.version}, found one of ${update.base}`;
    return { kind: 'refused', code: 'base-unknown', message };
  }
  const named = update.kind === 'snapshot' ? update.entries : update.changed;
  if (new Set(named.map((entry) => entry.name)).size < named.length) {
    return { kind: 'refused', code: 'entry-repeated', message: 'expected each export once, found one repeated' };
  }
  const entries = new Map(update.kind === 'snapshot' ? [] : state.entries);
  if (update.kind === 'delta') for (const name of update.removed) entries.delete(name);
  for (const entry of named) entries.set(entry.name, catalogueEntry(entry));
  if (entries.size > CATALOGUE_ENTRIES_MAX) {
    const message = `expected at most ${CATALOGUE_ENTRIES_MAX} exports, found ${entries.size}`;
    return { kind: 'refused', code: 'too-many-entries', message };
  }
  const names = [...entries.values()].reduce((sum, { serverNames = [] }) => sum + serverNames.length, 0);
  if (names > CATALOGUE_SERVER_NAMES_MAX) {
    const message = `expected at most ${CATALOGUE_SERVER_NAMES_MAX} server names, found ${names}`;
    return { kind: 'refused', code: 'too-many-entries', message };
  }
  const problems = problemsOf(entries.values());
  const nacks = problemsOf(named);
  return {
    kind: 'applied',
    state: { version: update.version, entries, problems, complete: true, lastHeardMs: nowMs },
    nacks,
  };
}

/** The state after the peer confirmed, at `nowMs`, that its catalogue is still this one. */
export function catalogueConfirmed(state: ImportedCatalogue, nowMs: number): ImportedCatalogue {
  return { ...state, lastHeardMs: Math.max(nowMs, state.lastHeardMs ?? nowMs) };
}

/** The digest of everything announced, unusable entries included. */
export function importedDigest(state: ImportedCatalogue): string {
  return catalogueDigest(state.entries.values());
}

function problemsOf(entries: Iterable<CatalogueEntry>): readonly EntryProblem[] {
  return [...entries].flatMap((entry) => entryProblem(entry) ?? []);
}
