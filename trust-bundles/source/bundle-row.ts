/** The bundle of one peer's domain as it is held and stored: with what is known about how it came here. */
import { asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument, writeBundleDocument } from '../bundle/document.ts';
import { mergeBundle } from '../bundle/merge.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';

/** A bundle and its history. */
export interface HeldBundle {
  readonly bundle: Bundle;
  /** When it was last obtained or confirmed, milliseconds since 1970. */
  readonly refreshedAtMs: number;
  /** How often an operator has said that the domain starts anew: order by sequence counts only between equal numbers. */
  readonly restarts: number;
}

/** The JSON of a row. */
export function writeBundleRow({ bundle, refreshedAtMs, restarts }: HeldBundle): string {
  return JSON.stringify({ document: writeBundleDocument(bundle), refreshedAtMs, restarts });
}

/** Reads a row; one without a time, of a version before, counts from `nowMs`. Throws `bundle-malformed`. */
export function readBundleRow(text: string, trustDomain: TrustDomain, nowMs: number): HeldBundle {
  const { document, refreshedAtMs, restarts } = asRecord(parseJson(text)) ?? {};
  if (typeof document !== 'string') {
    throw new JumpgateError('bundle-malformed', 'a row without a document', { source: 'local' });
  }
  return {
    bundle: readBundleDocument(document, trustDomain).bundle,
    // A time to come would keep a bundle from ever being stale.
    refreshedAtMs: Math.min(count(refreshedAtMs) ?? nowMs, nowMs),
    restarts: count(restarts) ?? 0,
  };
}

/** Of what is held and what was read the one that counts: what came back from a stale replica never does (catalogue M6). */
export function newerOf(held: HeldBundle | undefined, read: HeldBundle | undefined): HeldBundle | undefined {
  if (held === undefined || read === undefined) return held ?? read;
  if (held.restarts !== read.restarts) return held.restarts > read.restarts ? held : read;
  const { kind } = mergeBundle(held.bundle, read.bundle);
  if (kind === 'replace') return read;
  if (kind === 'refuse' || held.refreshedAtMs >= read.refreshedAtMs) return held;
  return { ...held, refreshedAtMs: read.refreshedAtMs };
}

/** Whether what was read goes back behind what is held. */
export function isOlder(read: HeldBundle, held: HeldBundle): boolean {
  if (held.restarts !== read.restarts) return held.restarts > read.restarts;
  const outcome = mergeBundle(held.bundle, read.bundle);
  return outcome.kind === 'refuse' && outcome.code !== 'bundle-conflict';
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
