/** Which parts of a snapshot changed, so that nobody redoes work that depends on others. */
import { isDeepStrictEqual } from 'node:util';

import { type Generations, type Snapshot, type SnapshotImport } from './snapshot.ts';

/** A snapshot before it is numbered. */
export type Unnumbered = Omit<Snapshot, 'generations'>;

/**
 * The generations of `next`. A part that changed gets a number above every number of `previous`, so none is ever given
 * twice, also to a peer that went and came back.
 *
 * Trust: our own identity, the bundles, what is quarantined, and who the peers are. Policy: exports, routes, and who may use which import.
 * A peer's imports: these imports whole, and where the peer's gateways are.
 */
export function numberParts(next: Unnumbered, previous: Snapshot | undefined): Generations {
  const used = previous?.generations;
  const fresh = 1 + Math.max(0, used?.trust ?? 0, used?.policy ?? 0, ...(used?.imports.values() ?? []));
  const number = (part: (snapshot: Unnumbered) => unknown, before: number | undefined): number => {
    if (previous === undefined || before === undefined) return fresh;
    return isDeepStrictEqual(part(next), part(previous)) ? before : fresh;
  };
  const peers = new Set([...next.peers.keys(), ...[...next.imports.values()].map((item) => item.peer)]);
  const imports = [...peers].map(
    (peer) => [peer, number((of) => importsOf(of, peer), used?.imports.get(peer))] as const,
  );
  return { trust: number(trustOf, used?.trust), policy: number(policyOf, used?.policy), imports: new Map(imports) };
}

/** Whether nothing at all differs, generations aside. */
export function sameSnapshot(left: Unnumbered, right: Unnumbered): boolean {
  return isDeepStrictEqual(everyPart(left), everyPart(right));
}

function everyPart(snapshot: Unnumbered): unknown {
  const { mesh, limits, linkMaxAgeMs, imports, peers } = snapshot;
  return [mesh, limits, linkMaxAgeMs, trustOf(snapshot), policyOf(snapshot), imports, peers];
}

function trustOf(snapshot: Unnumbered): unknown {
  const peers = new Map([...snapshot.peers].map(([name, peer]) => [name, [peer.trustDomain, peer.gatewayId]]));
  return [snapshot.trustDomain, snapshot.gatewayId, snapshot.bundles, snapshot.tainted, snapshot.distrust, peers];
}

function policyOf(snapshot: Unnumbered): unknown {
  return [
    snapshot.exports,
    snapshot.routes,
    new Map([...snapshot.imports].map(([name, item]) => [name, consentOf(item)])),
  ];
}

function consentOf(item: SnapshotImport): unknown {
  return [item.peer, item.export, item.who, item.hosts, item.listen, item.origin];
}

function importsOf(snapshot: Unnumbered, peer: string): unknown {
  return [snapshot.peers.get(peer)?.gateways, [...snapshot.imports.values()].filter((item) => item.peer === peer)];
}
