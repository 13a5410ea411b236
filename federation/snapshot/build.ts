/** Makes the snapshot of everything that was written here, stored here and heard from peers: pure. */
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type Distrust } from '../../trust-bundles/distrust/distrust.ts';
import { patternDomain } from '../../trust-bundles/identity/match.ts';
import { trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { EMPTY_CATALOGUE, type ImportedCatalogue } from '../catalogue/imported.ts';
import { entryProblem, knownProtocol } from '../catalogue/service.ts';
import { isTunnelProtocol } from '../policy/protocol.ts';
import { SELF_PEER } from '../policy/rule.ts';
import { type StoredPeer } from '../resources/stored-peer.ts';
import {
  type Export,
  type Import,
  type OutboundListenerSpec,
  type ResourceSet,
  type Route,
} from '../resources/values.ts';
import { ageConditions, type BundleAge, isRefused, nextAgeMs } from './bundle-age.ts';
import { type Condition } from './condition.ts';
import { numberParts, sameSnapshot, type Unnumbered } from './generations.ts';
import { assignHosts } from './hosts.ts';
import { importState, staleAtMs } from './import-state.ts';
import { mergePeers } from './peers.ts';
import { keepUnchanged } from './unchanged.ts';
import {
  type Snapshot,
  type SnapshotExport,
  type SnapshotImport,
  type SnapshotPeer,
  type SnapshotRoute,
} from './snapshot.ts';

/** Everything that a snapshot is made of. */
export interface SnapshotInput {
  readonly set: ResourceSet;
  readonly storedPeers: readonly StoredPeer[];
  /** As stored; those of neither our own domain nor a peer's are left out. */
  readonly bundles: ReadonlyMap<TrustDomain, Bundle>;
  /** Keys that are believed no more, as in a trust store. */
  readonly tainted: ReadonlySet<string>;
  /** Who is quarantined. */
  readonly distrust: Distrust;
  /** How fresh they are; a domain that is not in it never goes stale. */
  readonly bundleAges?: ReadonlyMap<TrustDomain, BundleAge>;
  /** By peer name. */
  readonly catalogues: ReadonlyMap<string, ImportedCatalogue>;
  /** The snapshot in use, whose generations go on. */
  readonly previous?: Snapshot;
  readonly nowMs: number;
  /** After how long without a word a catalogue is stale; the default stands with {@link importState}. */
  readonly staleAfterMs?: number;
}

/** A snapshot and what the operator should know about it. */
export interface BuiltSnapshot {
  /** The very `previous` when nothing changed. */
  readonly snapshot: Snapshot;
  readonly conditions: readonly Condition[];
  /** When time alone will change the outcome (an import turns stale), milliseconds since 1970; `undefined` for never. */
  readonly revisitAtMs: number | undefined;
}

/** Facts about the peers that the parts below are judged by. */
interface Surroundings {
  readonly input: SnapshotInput;
  readonly peers: ReadonlyMap<string, SnapshotPeer>;
  readonly bundles: ReadonlyMap<TrustDomain, Bundle>;
}

/** Builds a snapshot. A reference to what is not there (yet) is a condition, never an error. */
export function buildSnapshot(input: SnapshotInput): BuiltSnapshot {
  const { set, previous } = input;
  const { trustDomain, gatewayId } = set.mesh.spec;
  const merged = mergePeers({ trustDomain, declared: set.peers, stored: input.storedPeers });
  const bundles = keepUnchanged(bundlesOf(input, trustDomain, merged.peers), previous?.bundles);
  const around: Surroundings = { input, peers: merged.peers, bundles };
  const assigned = assignHosts(set.imports);
  const imports = set.imports.map((item) => importOf(item, assigned.hosts.get(item.name) ?? [], around));
  const next: Unnumbered = {
    mesh: set.mesh.name,
    trustDomain,
    gatewayId,
    limits: set.mesh.spec.limits,
    linkMaxAgeMs: set.mesh.spec.linkMaxAgeMs,
    bundles,
    tainted: input.tainted,
    distrust: input.distrust,
    peers: merged.peers,
    exports: new Map(set.exports.map((item) => [item.name, exportOf(item)])),
    imports: new Map(imports.map((item) => [item.name, item])),
    routes: set.routes.map(routeOf),
  };
  const conditions = [
    ...merged.conditions,
    ...assigned.conditions,
    ...[...merged.peers.values()].flatMap((peer) => peerConditions(peer, around)),
    ...imports.flatMap((item) => [...importConditions(item, around), ...listenConditions(item)]),
    ...set.exports.flatMap((item) => exportConditions(item, around)),
    ...next.routes.flatMap((route) => routeConditions(route, set, next.imports)),
  ];
  const same = previous !== undefined && sameSnapshot(next, previous);
  const snapshot = same ? previous : { ...next, generations: numberParts(next, previous) };
  return { snapshot, conditions, revisitAtMs: revisitAtMs(snapshot, input) };
}

function bundlesOf(
  { bundles: stored, bundleAges, nowMs }: SnapshotInput,
  own: TrustDomain,
  peers: ReadonlyMap<string, SnapshotPeer>,
): ReadonlyMap<TrustDomain, Bundle> {
  const bundles = new Map<TrustDomain, Bundle>();
  for (const domain of [own, ...[...peers.values()].map((peer) => peer.trustDomain)]) {
    const bundle = stored.get(domain);
    // A bundle under another domain's name would be the one mistake that everything else rests on not happening.
    if (bundle?.trustDomain === domain && !isRefused(bundleAges?.get(domain), nowMs)) bundles.set(domain, bundle);
  }
  return bundles;
}

function exportOf({ name, spec, origin }: Export): SnapshotExport {
  const { protocol, backends, authority, serverNames, headerSpelling, allow, limits = {} } = spec;
  const exported = { name, protocol, backends, authority, serverNames, limits, allow, origin };
  return headerSpelling === undefined ? exported : { ...exported, headerSpelling };
}

function routeOf({ name, spec, origin }: Route): SnapshotRoute {
  const { edge, hosts, path, to } = spec;
  return { name, edge, hosts, path, to, origin };
}

function importOf(item: Import, hosts: readonly string[], around: Surroundings): SnapshotImport {
  const { name, spec, origin } = item;
  const catalogue = trustedCatalogue(spec.peer, around);
  const { nowMs, staleAfterMs } = around.input;
  const announced = catalogue?.entries.get(spec.export);
  const protocol =
    announced === undefined || entryProblem(announced) !== undefined ? undefined : knownProtocol(announced.protocol);
  const limit = staleAfterMs === undefined ? {} : { staleAfterMs };
  return {
    name,
    peer: spec.peer,
    peerTrustDomain: around.peers.get(spec.peer)?.trustDomain,
    export: spec.export,
    hosts,
    protocol,
    serverNames: protocol === undefined ? [] : (announced?.serverNames ?? []),
    listen: listenOf(spec.listen),
    who: spec.who,
    state: importState({ catalogue, export: spec.export, nowMs, ...limit }),
    origin,
  };
}

/** Without its place, which is the document's matter: a line added above it changes no listener. */
function listenOf(written: Import['spec']['listen']): OutboundListenerSpec | undefined {
  if (written === undefined) return undefined;
  const { address, caller, limits } = written;
  return { address, caller, ...(limits === undefined ? {} : { limits }) };
}

/** Trust before catalogue (federation.md, rule 7): what a peer says counts once its bundle is here. */
function trustedCatalogue(peerName: string, around: Surroundings): ImportedCatalogue | undefined {
  const peer = around.peers.get(peerName);
  if (peer === undefined || !around.bundles.has(peer.trustDomain)) return undefined;
  return around.input.catalogues.get(peerName);
}

function peerConditions(peer: SnapshotPeer, around: Surroundings): readonly Condition[] {
  const { bundleAges, bundles: stored, nowMs } = around.input;
  const age = stored.has(peer.trustDomain) ? bundleAges?.get(peer.trustDomain) : undefined;
  return [...ageConditions(peer, age, nowMs), ...trustConditions(peer, around)];
}

function trustConditions(peer: SnapshotPeer, around: Surroundings): readonly Condition[] {
  const resource = `Peer/${peer.name}`;
  const bundle = around.bundles.get(peer.trustDomain);
  if (bundle === undefined) {
    // What it is then is told already.
    if (isRefused(around.input.bundleAges?.get(peer.trustDomain), around.input.nowMs)) return [];
    const message = `no bundle of ${peer.trustDomain} is known, so nothing that it signs is believed; join, or give bundle.file`;
    return [{ resource, type: 'AwaitingBundle', message }];
  }
  if (bundle.x509Authorities.length === 0) {
    const message = `its bundle holds no usable X.509 authority: ${peer.trustDomain} has revoked everything, and nothing of it is believed`;
    return [{ resource, type: 'BundleEmpty', message }];
  }
  const { problems } = around.input.catalogues.get(peer.name) ?? EMPTY_CATALOGUE;
  const [first] = problems;
  if (first === undefined) return [];
  const message = `${problems.length} of its exports cannot be used, first ${JSON.stringify(first.entry.slice(0, 80))}: ${first.message}`;
  return [{ resource, type: 'EntryRefused', message }];
}

function importConditions(item: SnapshotImport, around: Surroundings): readonly Condition[] {
  const { origin, peer, peerTrustDomain } = item;
  const resource = `Import/${item.name}`;
  if (peerTrustDomain === undefined) {
    return [{ resource, type: 'UnknownPeer', message: `no peer ${peer} is registered here (yet)`, origin }];
  }
  if (!around.bundles.has(peerTrustDomain)) {
    const message = `no bundle of ${peerTrustDomain}, the trust domain of peer ${peer}, is known`;
    return [{ resource, type: 'AwaitingBundle', message, origin }];
  }
  switch (item.state) {
    case 'active':
      return [];
    case 'awaiting':
      return [
        { resource, type: 'AwaitingCatalogue', message: `nothing heard of the exports of peer ${peer} yet`, origin },
      ];
    case 'stale': {
      const message = `peer ${peer} has not confirmed its exports lately; calls are still tried`;
      return [{ resource, type: 'CatalogueStale', message, origin }];
    }
    case 'withdrawn': {
      const protocol = around.input.catalogues.get(peer)?.entries.get(item.export)?.protocol;
      const why =
        protocol === undefined ? '' : ` with a protocol known here, it has ${JSON.stringify(protocol.slice(0, 80))}`;
      const message = `peer ${peer} exports no ${item.export} to us${why}`;
      return [{ resource, type: 'NotExported', message, origin }];
    }
    default:
      return item.state satisfies never;
  }
}

/** Connections need a listener of their own, and calls never use one. */
function listenConditions({
  name,
  peer,
  export: exported,
  protocol,
  listen,
  origin,
}: SnapshotImport): readonly Condition[] {
  if (protocol === undefined || isTunnelProtocol(protocol) === (listen !== undefined)) return [];
  const what = `peer ${peer} exports ${exported} as ${protocol}`;
  const message =
    listen === undefined
      ? `${what}, which is reached by connecting to an address of its own: give the import one by listen`
      : `${what}, which is called by its host name through an outbound listener, so nothing is served at its listen address`;
  return [{ resource: `Import/${name}`, type: 'ProtocolMismatch', message, origin }];
}

function exportConditions(item: Export, around: Surroundings): readonly Condition[] {
  const resource = `Export/${item.name}`;
  const domains = new Set<string>([around.input.set.mesh.spec.trustDomain]);
  for (const peer of around.peers.values()) domains.add(peer.trustDomain);
  const backends = item.spec.backends.flatMap(({ tls }, index): readonly Condition[] => {
    if (tls?.trust.kind !== 'spiffe' || around.bundles.has(trustDomainOf(tls.trust.id))) return [];
    const message = `${item.name}.backends[${index}] must prove to be ${tls.trust.id}, whose trust domain has no bundle here (yet)`;
    return [{ resource, type: 'UnknownTrustDomain', message, origin: item.origin }];
  });
  const rules = item.spec.allow.flatMap((rule, index) => {
    const conditions: Condition[] = [];
    const where = `${item.name}.allow[${index}]`;
    for (const peer of rule.peers ?? []) {
      if (peer === SELF_PEER || around.peers.has(peer)) continue;
      const message = `${where} names peer ${peer}, which is not registered here (yet)`;
      conditions.push({ resource, type: 'UnknownPeer', message, origin: rule.origin });
    }
    for (const pattern of rule.who ?? []) {
      const domain = patternDomain(pattern);
      if (domain !== undefined && domains.has(domain)) continue;
      const message = `${where} names ${pattern}, whose trust domain is neither ours nor a registered peer's (yet)`;
      conditions.push({ resource, type: 'UnknownTrustDomain', message, origin: rule.origin });
    }
    return conditions;
  });
  return [...backends, ...rules];
}

function routeConditions(
  route: SnapshotRoute,
  set: ResourceSet,
  imports: ReadonlyMap<string, SnapshotImport>,
): readonly Condition[] {
  const targets: readonly { readonly name: string }[] = route.to.kind === 'export' ? set.exports : set.imports;
  const missing: string[] = [];
  if (!targets.some((target) => target.name === route.to.name)) missing.push(`${route.to.kind} ${route.to.name}`);
  if (!set.edges.some((edge) => edge.name === route.edge)) missing.push(`edge ${route.edge}`);
  const { origin } = route;
  const resource = `Route/${route.name}`;
  const conditions: Condition[] = missing.map((what) => {
    return { resource, type: 'UnknownTarget', message: `there is no ${what} here (yet)`, origin };
  });
  const protocol = route.to.kind === 'import' ? imports.get(route.to.name)?.protocol : undefined;
  if (protocol !== undefined && isTunnelProtocol(protocol)) {
    const message = `import ${route.to.name} is ${protocol}, and an edge carries calls only`;
    conditions.push({ resource, type: 'ProtocolMismatch', message, origin });
  }
  return conditions;
}

function revisitAtMs(snapshot: Snapshot, input: SnapshotInput): number | undefined {
  let soonest = nextAgeMs(input.bundleAges?.values() ?? [], input.nowMs);
  for (const item of snapshot.imports.values()) {
    const catalogue = item.state === 'active' ? input.catalogues.get(item.peer) : undefined;
    const at = catalogue === undefined ? undefined : staleAtMs(catalogue, input.staleAfterMs);
    if (at !== undefined && at < (soonest ?? Infinity)) soonest = at;
  }
  return soonest;
}
