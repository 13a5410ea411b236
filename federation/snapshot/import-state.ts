/** How much an import can be relied on, judged by what its peer has announced and when. */
import { type ImportedCatalogue } from '../catalogue/imported.ts';
import { entryProblem } from '../catalogue/service.ts';
import { type ImportState } from './snapshot.ts';

/** Three heartbeats of 2 s, when a session calls itself degraded: one may be lost, one late, three mean that nobody speaks there. */
export const CATALOGUE_STALE_AFTER_MS = 6_000;

/** What an import's state depends on. */
export interface ImportStateQuestion {
  /** What the peer has announced; `undefined` before anything was heard, and without trust in the peer. */
  readonly catalogue: ImportedCatalogue | undefined;
  /** Name of the export at the peer. */
  readonly export: string;
  readonly nowMs: number;
  /** Default {@link CATALOGUE_STALE_AFTER_MS}. */
  readonly staleAfterMs?: number;
}

/** The state of an import. An export of a protocol that we cannot forward is not there for us. */
export function importState(question: ImportStateQuestion): ImportState {
  const { catalogue } = question;
  if (catalogue?.complete !== true) return 'awaiting';
  const announced = catalogue.entries.get(question.export);
  if (announced === undefined || entryProblem(announced) !== undefined) return 'withdrawn';
  const staleAt = staleAtMs(catalogue, question.staleAfterMs);
  return staleAt === undefined || question.nowMs >= staleAt ? 'stale' : 'active';
}

/** When a catalogue turns stale unless it is confirmed before, milliseconds since 1970; `undefined` when it was never confirmed. */
export function staleAtMs(catalogue: ImportedCatalogue, staleAfterMs?: number): number | undefined {
  if (catalogue.lastHeardMs === undefined) return undefined;
  return catalogue.lastHeardMs + (staleAfterMs ?? CATALOGUE_STALE_AFTER_MS);
}
