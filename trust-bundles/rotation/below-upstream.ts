/** An intermediate of the embedded CA against the end of its upstream. */
import { type PhasedRoot } from './phase.ts';

/** As far as the end of an upstream matters. */
export interface EndingUpstream {
  readonly id: string;
  readonly notAfterMs: number;
}

/** Certificates count whole seconds. */
const SECOND_MS = 1000;

/** Whether `upstream` can issue nothing that lasts longer than `root`, which stands below it. */
export function isLastBelow(root: PhasedRoot, upstream: EndingUpstream | undefined): boolean {
  if (upstream === undefined || root.upstream?.id !== upstream.id) return false;
  return upstream.notAfterMs - root.notAfterMs < SECOND_MS;
}

/** What to tell people about an upstream with which `root` cannot be renewed any more, although that is due. */
export function upstreamEnding(
  root: PhasedRoot,
  upstream: EndingUpstream | undefined,
  nowMs: number,
): { readonly code: string; readonly message: string; readonly sinceMs: number } | undefined {
  const sinceMs = root.notBeforeMs + (root.notAfterMs - root.notBeforeMs) / 2;
  if (nowMs < sinceMs || !isLastBelow(root, upstream)) return undefined;
  const end = new Date(root.notAfterMs).toISOString();
  const message = `the upstream CA, or what stands above it, ends at ${end}: renew it and replace its files before`;
  return { code: 'upstream-ending', message, sinceMs };
}
