/** How long a peer's bundle may go without being confirmed (federation.md, rule 16): conditions on the way, and what then. */
import { type Condition } from './condition.ts';
import { type SnapshotPeer } from './snapshot.ts';

/** How old the bundle of one domain is, and what its peer's document allows. */
export interface BundleAge {
  /** When it was last obtained or confirmed, milliseconds since 1970. */
  readonly refreshedAtMs: number;
  readonly staleAfterMs: number;
  /** A stale one is believed no longer, instead of being told of only. */
  readonly refuse: boolean;
}

/** Whether nothing that the bundle vouches for is believed any more. */
export function isRefused(age: BundleAge | undefined, nowMs: number): boolean {
  return age !== undefined && age.refuse && nowMs - age.refreshedAtMs >= age.staleAfterMs;
}

/** What to tell of a peer's bundle: nothing below half of its limit. */
export function ageConditions(peer: SnapshotPeer, age: BundleAge | undefined, nowMs: number): readonly Condition[] {
  if (age === undefined || nowMs - age.refreshedAtMs < age.staleAfterMs / 2) return [];
  const resource = `Peer/${peer.name}`;
  const since = `its bundle was last obtained at ${new Date(age.refreshedAtMs).toISOString()}`;
  const remedy = `see "jumpgate bundles" for why, and "jumpgate bundles import ${peer.name} FILE" for the way by hand`;
  if (nowMs - age.refreshedAtMs < age.staleAfterMs) {
    const at = new Date(age.refreshedAtMs + age.staleAfterMs).toISOString();
    return [{ resource, type: 'BundleAging', message: `${since} and is stale from ${at}; ${remedy}` }];
  }
  const then = age.refuse ? 'so nothing that it vouches for is believed' : 'and is still believed';
  return [{ resource, type: 'BundleStale', message: `${since}, ${then}; ${remedy}` }];
}

/** When the passing of time alone will change what is said or believed; `undefined` for never. */
export function nextAgeMs(ages: Iterable<BundleAge>, nowMs: number): number | undefined {
  let soonest: number | undefined;
  for (const { refreshedAtMs, staleAfterMs } of ages) {
    for (const atMs of [refreshedAtMs + Math.ceil(staleAfterMs / 2), refreshedAtMs + staleAfterMs]) {
      if (atMs > nowMs && atMs < (soonest ?? Infinity)) soonest = atMs;
    }
  }
  return soonest;
}
