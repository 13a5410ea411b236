/** What changed between two catalogues. */
import { type CatalogueEntry, sameEntry } from './service.ts';

/** Names are in exactly one of the three lists. */
export interface CatalogueDiff {
  readonly added: readonly CatalogueEntry[];
  readonly changed: readonly CatalogueEntry[];
  readonly removed: readonly string[];
}

/** The way from `before` to `after`; each list in the order in which its catalogue has the names. */
export function diffCatalogues(before: Iterable<CatalogueEntry>, after: Iterable<CatalogueEntry>): CatalogueDiff {
  const old = new Map([...before].map((entry) => [entry.name, entry]));
  const now = [...after];
  const names = new Set(now.map((entry) => entry.name));
  return {
    added: now.filter((entry) => !old.has(entry.name)),
    changed: now.filter((entry) => {
      const was = old.get(entry.name);
      return was !== undefined && !sameEntry(was, entry);
    }),
    removed: [...old.keys()].filter((name) => !names.has(name)),
  };
}
