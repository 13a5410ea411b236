/**
 * The phases of a root's life, as pure functions over plain data.
 *
 *     created ──(first of a mesh)──────────────────┐
 *        │                                         ▼
 *        └──prepare──► prepared ──activate──► active ──(another is activated)──► retired ──drop──► gone
 *
 * A prepared root is published and signs nothing; the active one signs; a retired one is published until the last SVID
 * that it may have signed has expired. Whatever its phase, a root that expires is dropped.
 */

/** Where a root stands in its life. */
export type RootPhase = 'prepared' | 'active' | 'retired';

/** What the phases need to know about a root; times are milliseconds since 1970. */
export interface PhasedRoot {
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  readonly phase: RootPhase;
  readonly phaseSinceMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The CA of somebody else's below which it stands, if there is one. */
  readonly upstream?: { readonly id: string } | undefined;
}

/** No SVID is issued for longer, so that a retired root can leave the bundle after as long (SPIFFE Federation §4.1). */
export const SVID_TTL_MAX_MS = 24 * 60 * 60 * 1000;

/** A new key is published three to five refresh hints before its first use (SPIFFE Federation §4.1): whoever misses some polls still has it. */
export const HINTS_BEFORE_USE = 5;

/** When steps are looked for. */
export interface PhaseTimes {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Of the bundle that publishes what is prepared. */
  readonly refreshHintSeconds: number;
}

/** What a set of roots needs next, and when. `create`: there is no root that could sign. */
export interface DueStep {
  readonly kind: 'create' | 'prepare' | 'activate' | 'drop';
  readonly atMs: number;
}

/** When everybody who polls our bundle holds a key that was published at `sinceMs`, milliseconds since 1970. */
export function fetchedByAllAtMs(sinceMs: number, refreshHintSeconds: number): number {
  return sinceMs + HINTS_BEFORE_USE * refreshHintSeconds * 1000;
}

/** The root that signs. */
export function activeRoot<R extends PhasedRoot>(roots: readonly R[]): R | undefined {
  return roots.find((root) => root.phase === 'active');
}

/** The root that is published to be activated next. */
export function preparedRoot<R extends PhasedRoot>(roots: readonly R[]): R | undefined {
  return roots.find((root) => root.phase === 'prepared');
}

/** The prepared root becomes active, the active one retired. Without a prepared root the set comes back as it was. */
export function activatePrepared<R extends PhasedRoot>(roots: readonly R[], nowMs: number): readonly R[] {
  if (preparedRoot(roots) === undefined) return roots;
  return roots.map((root) => {
    switch (root.phase) {
      case 'prepared':
        return { ...root, phase: 'active' as const, phaseSinceMs: nowMs };
      case 'active':
        return { ...root, phase: 'retired' as const, phaseSinceMs: nowMs };
      case 'retired':
        return root;
      default:
        return root.phase satisfies never;
    }
  });
}

/** Without the roots that have expired or that nothing depends on any more. */
export function dropSpent<R extends PhasedRoot>(roots: readonly R[], nowMs: number): readonly R[] {
  return roots.filter((root) => spentAtMs(root) > nowMs);
}

/**
 * The earliest step that is due, or will be. Left alone, a set prepares a successor at half of the active root's life
 * and activates it at three quarters: peers then had a quarter of its life to fetch the new root. One that was prepared
 * late, since nothing ran here, waits until peers had five refresh hints for that, but never into the last eighth. One
 * below another upstream than the active root's takes over after those five hints: that is what somebody asked for.
 */
export function nextStep(roots: readonly PhasedRoot[], { nowMs, refreshHintSeconds }: PhaseTimes): DueStep {
  const prepared = preparedRoot(roots);
  const active = activeRoot(roots);
  if (active === undefined) return { kind: prepared === undefined ? 'create' : 'activate', atMs: nowMs };
  const lifeMs = active.notAfterMs - active.notBeforeMs;
  const isFetchedAtMs = fetchedByAllAtMs(prepared?.phaseSinceMs ?? 0, refreshHintSeconds);
  const latestMs = active.notAfterMs - lifeMs / 8;
  const threeQuartersMs = prepared?.upstream?.id === active.upstream?.id ? active.notBeforeMs + (lifeMs * 3) / 4 : 0;
  const successor: DueStep =
    prepared === undefined
      ? { kind: 'prepare', atMs: active.notBeforeMs + lifeMs / 2 }
      : { kind: 'activate', atMs: Math.max(threeQuartersMs, Math.min(isFetchedAtMs, latestMs)) };
  const dropAtMs = Math.min(...roots.map(spentAtMs));
  return dropAtMs < successor.atMs ? { kind: 'drop', atMs: dropAtMs } : successor;
}

function spentAtMs(root: PhasedRoot): number {
  if (root.phase !== 'retired') return root.notAfterMs;
  return Math.min(root.notAfterMs, root.phaseSinceMs + SVID_TTL_MAX_MS);
}
