/** Which imports cannot be called yet after a start although their peers are known: nothing is refused on their account. */
import { type Snapshot, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';

/** Those whose peer has not told its exports yet, or has no link that calls could take. `isLinked` is asked by name. */
export function awaitedImports(
  { bundles, imports, peers }: Snapshot,
  isLinked: (peer: string) => boolean,
): readonly SnapshotImport[] {
  return [...imports.values()].filter(({ peer: name, state }) => {
    const peer = peers.get(name);
    // Whom we cannot dial may never come.
    if (peer === undefined || peer.gateways.length === 0 || !bundles.has(peer.trustDomain)) return false;
    return state === 'awaiting' || (state !== 'withdrawn' && !isLinked(name));
  });
}
