/** Snapshots as the tests of building them need them: of a mesh `us` with the peer `eu-west`. */
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type ResourceSet } from '../../federation/resources/values.ts';
import { buildSnapshot, type BuiltSnapshot, type SnapshotInput } from '../../federation/snapshot/build.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { bundleOf, catalogueOf, EU, exportOf, importOf, peerOf, resourceSet, rule, US } from './federation-values.ts';

/** When snapshots are built, epoch milliseconds. */
export const NOW = 100_000;

/** A bundle of each domain. */
export function bundles(...domains: TrustDomain[]): ReadonlyMap<TrustDomain, Bundle> {
  return new Map(domains.map((domain) => [domain, bundleOf(domain)]));
}

/** What the peer `eu-west` announces: protocols by name. */
export function catalogues(services: Readonly<Record<string, string>>): ReadonlyMap<string, ImportedCatalogue> {
  return new Map([['eu-west', catalogueOf(services, NOW)]]);
}

/** A snapshot of what these documents say, with trust in the peer `eu-west`, which announces `orders`. */
export function build(parts: Partial<ResourceSet> = {}, input: Partial<SnapshotInput> = {}): BuiltSnapshot {
  const set = resourceSet(parts);
  const trust = { bundles: bundles(US, EU), tainted: new Set<string>(), distrust: NO_DISTRUST };
  const base = { storedPeers: [], ...trust, catalogues: catalogues({ orders: 'http1' }), nowMs: NOW };
  return buildSnapshot({ set, ...base, ...input });
}

/** The conditions, each as `Kind/name Type`. */
export function typesOf(built: BuiltSnapshot): readonly string[] {
  return built.conditions.map((condition) => `${condition.resource} ${condition.type}`);
}

/** One peer. */
export const EU_PEER = { peers: [peerOf('eu-west', EU)] };
/** One peer, one export to it, one import from it. */
export const WHOLE = {
  ...EU_PEER,
  exports: [exportOf('payments', [rule({ peers: ['eu-west', 'self'], who: ['spiffe://eu-west.example.org/**'] })])],
  imports: [importOf('eu-orders', { alias: 'orders.shop.internal' })],
};
