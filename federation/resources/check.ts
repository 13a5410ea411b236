/** What must hold between documents, and what is probably not meant. */
import { formatOrigin, type Origin } from '../../base/origin.ts';
import { quote } from '../../base/config/node.ts';
import { suggestion } from '../../base/config/nearest.ts';
import { ProblemList, type Problem } from '../../base/config/problem.ts';
import { matchesId } from '../../trust-bundles/identity/match.ts';
import { isTunnelProtocol } from '../policy/protocol.ts';
import { type AnyResource } from './document.ts';
import { foreignIdProblem } from './fields.ts';
import { limitsProblem, limitsWith } from './limits.ts';
import { isShared, sharedPortProblem } from './shared-port.ts';
import { identityProblem } from './workload-api.ts';
import { type BindAddress, type Export, type Import, type Peer, type ResourceSet, type Route } from './values.ts';

/** Documents as they were read, and which ones were meant: also those that could not be read, so that nobody misses them. */
export interface ReadDocuments {
  readonly directory: string;
  readonly resources: readonly AnyResource[];
  /** `Kind name`. */
  readonly declared: ReadonlySet<string>;
}

/** Checks documents against each other; mistakes go to `problems`. Without a readable Mesh there is no set. */
export function checkResources(documents: ReadDocuments, problems: ProblemList): ResourceSet | undefined {
  const { directory, resources: all, declared } = documents;
  const meshes = all.filter((each) => each.kind === 'Mesh');
  const [mesh] = meshes;
  for (const second of meshes.slice(1)) {
    const first = mesh === undefined ? '' : formatOrigin(mesh.origin);
    tell(problems, second.origin, 'kind', `expected exactly one Mesh, the other one is at ${first}`);
  }
  const parts = {
    peers: all.filter((each) => each.kind === 'Peer'),
    exports: all.filter((each) => each.kind === 'Export'),
    imports: all.filter((each) => each.kind === 'Import'),
    edges: all.filter((each) => each.kind === 'Edge'),
    routes: all.filter((each) => each.kind === 'Route'),
  };
  const named = all.filter((each) => each.kind !== 'Mesh');
  unique(named, (each) => `${each.kind} ${each.name}`, 'metadata.name', problems);
  checkPeers(parts.peers, problems);
  checkImports(parts.imports, problems);
  checkRoutes(parts.routes, declared, problems);
  checkRouteTargets(parts, problems);
  if (mesh === undefined) {
    const message = 'expected exactly one Mesh document in this directory, found none';
    if (![...declared].some((name) => name.startsWith('Mesh ')))
      problems.add({ origin: { file: directory }, path: '', message });
    return undefined;
  }
  const set: ResourceSet = { mesh, ...parts };
  checkOwnDomain(set, problems);
  checkWorkloadApis(set, problems);
  checkListeners(set, problems);
  checkListenerLimits(set, problems);
  return set;
}

function tell(problems: ProblemList, origin: Origin, path: string, message: string): void {
  problems.add({ origin, path, message });
}

function unique<T extends { readonly origin: Origin }>(
  values: readonly T[],
  nameOf: (value: T) => string | undefined,
  path: string,
  problems: ProblemList,
): void {
  const seen = new Map<string, Origin>();
  for (const value of values) {
    const name = nameOf(value);
    if (name === undefined) continue;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, value.origin);
    else tell(problems, value.origin, path, `${name} is declared already at ${formatOrigin(first)}`);
  }
}

function checkPeers(peers: readonly Peer[], problems: ProblemList): void {
  unique(peers, ({ spec }) => `trust domain ${spec.trustDomain}`, 'spec.trustDomain', problems);
  for (const { name, origin } of peers) {
    if (name !== 'self') continue;
    tell(problems, origin, 'metadata.name', 'expected another name than "self", which is our own mesh');
  }
}

function checkOwnDomain({ mesh, peers, imports }: ResourceSet, problems: ProblemList): void {
  const own = mesh.spec.trustDomain;
  for (const { spec, origin } of peers) {
    if (spec.trustDomain !== own) continue;
    tell(problems, origin, 'spec.trustDomain', `expected another trust domain than our own ${own}`);
  }
  for (const { listen } of imports.map(({ spec }) => spec)) {
    const found = listen?.caller.kind === 'as' ? foreignIdProblem(listen.caller.id, own, false) : undefined;
    if (listen !== undefined && found !== undefined) tell(problems, listen.origin, 'spec.listen.as', found);
  }
}

function checkWorkloadApis({ mesh }: ResourceSet, problems: ProblemList): void {
  const { gatewayId, identity: from, listeners, trustDomain } = mesh.spec;
  for (const [index, { identity, origin }] of listeners.workloadApi.entries()) {
    const path = `spec.listeners.workloadApi[${index}]`;
    if (from.kind !== 'embedded') {
      const message = 'expected identity.embedded beside it: only the embedded CA can issue SVIDs for workloads';
      tell(problems, origin, path, `${message}, found identity.${from.kind}`);
    }
    const found = identityProblem(identity, trustDomain, gatewayId);
    if (found !== undefined) tell(problems, origin, `${path}.identity`, found);
  }
}

function checkImports(imports: readonly Import[], problems: ProblemList): void {
  unique(imports, ({ spec }) => `host name ${spec.export}.${spec.peer}.mesh.internal`, 'spec.export', problems);
  unique(imports, ({ spec }) => spec.alias && `host name ${spec.alias}`, 'spec.alias', problems);
}

function checkRoutes(routes: readonly Route[], declared: ReadonlySet<string>, problems: ProblemList): void {
  const refer = (route: Route, path: string, kind: string, name: string): void => {
    if (declared.has(`${kind} ${name}`)) return;
    const known = [...declared].flatMap((each) => (each.startsWith(`${kind} `) ? [each.slice(kind.length + 1)] : []));
    tell(problems, route.origin, path, `no ${kind} is named ${quote(name)}${suggestion(name, known)}`);
  };
  for (const route of routes) {
    const { edge, to } = route.spec;
    refer(route, 'spec.edge', 'Edge', edge);
    refer(route, `spec.to.${to.kind}`, to.kind === 'export' ? 'Export' : 'Import', to.name);
  }
  const places = routes.flatMap(({ spec, origin }) =>
    [...new Set(spec.hosts)].map((host) => ({ origin, name: `route for ${host}${spec.path} at edge ${spec.edge}` })),
  );
  unique(places, ({ name }) => name, 'spec.hosts', problems);
}

/** An edge takes calls only. */
function checkRouteTargets({ routes, exports }: Pick<ResourceSet, 'routes' | 'exports'>, problems: ProblemList): void {
  for (const { spec, origin } of routes) {
    const target = spec.to.kind === 'export' ? exports.find(({ name }) => name === spec.to.name) : undefined;
    if (target === undefined || !isTunnelProtocol(target.spec.protocol)) continue;
    const message = `expected an export of calls, found Export ${target.name} with protocol ${target.spec.protocol}: an edge carries no connections`;
    tell(problems, origin, 'spec.to.export', message);
  }
}

function checkListenerLimits({ mesh, edges }: ResourceSet, problems: ProblemList): void {
  const listeners = [
    ...mesh.spec.listeners.outbound.map(({ limits }, index) => {
      return { limits, origin: mesh.origin, path: `spec.listeners.outbound[${index}].limits` };
    }),
    ...edges.map(({ spec: { limits }, origin }) => ({ limits, origin, path: 'spec.limits' })),
  ];
  for (const { limits, origin, path } of listeners) {
    const found = limits === undefined ? undefined : limitsProblem(limitsWith(mesh.spec.limits, limits));
    if (found !== undefined) tell(problems, origin, path, found);
  }
}

function checkListeners({ mesh, edges, imports }: ResourceSet, problems: ProblemList): void {
  const { jump, bundle, outbound, status, admin } = mesh.spec.listeners;
  const found = sharedPortProblem({ jump, bundle });
  if (found !== undefined) tell(problems, mesh.origin, 'spec.listeners.bundle.advertise', found);
  const endpoint = isShared({ jump, bundle }) ? [] : [bundle.address];
  const ours = [jump.address, ...endpoint, ...outbound.map(({ address }) => address), status, admin.address];
  const all = [
    ...ours.map((address) => ({ address, origin: mesh.origin })),
    ...edges.map(({ spec, origin }) => ({ address: spec.address, origin })),
    ...mesh.spec.listeners.workloadApi.map(({ path, origin }) => {
      return { address: { kind: 'unix', path } as const, origin, path: 'spec.listeners.workloadApi' };
    }),
    ...imports.flatMap(({ spec: { listen } }) =>
      listen === undefined ? [] : [{ address: listen.address, origin: listen.origin, path: 'spec.listen' }],
    ),
  ].map((each) => ({ path: 'spec', ...each }));
  for (const [index, each] of all.entries()) {
    const first = all.slice(0, index).find(({ address }) => collide(address, each.address));
    if (first === undefined) continue;
    const where = formatOrigin(first.origin);
    const same = listenerName(first.address) === listenerName(each.address);
    const what = same ? 'is declared already' : `collides with ${listenerName(first.address)}, declared`;
    tell(problems, each.origin, each.path, `listener ${listenerName(each.address)} ${what} at ${where}`);
  }
}

/** Every address of the machine, so that a port is taken on each. */
const ANY_HOSTS: readonly string[] = ['0.0.0.0', '::'];

function collide(left: BindAddress, right: BindAddress): boolean {
  if (left.kind === 'unix' || right.kind === 'unix')
    return left.kind === 'unix' && right.kind === 'unix' && left.path === right.path;
  // Port 0 is a free one each time.
  if (left.port === 0 || left.port !== right.port) return false;
  return left.host === right.host || ANY_HOSTS.includes(left.host) || ANY_HOSTS.includes(right.host);
}

function listenerName(address: BindAddress): string {
  return address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
}

/** What is valid, and probably not meant, or waits for something. `stored`: names of peers that have joined. */
export function warningsOf(set: ResourceSet, stored: readonly string[] = []): readonly Problem[] {
  const warnings = new ProblemList();
  const peers = [...set.peers.map(({ name }) => name), ...stored];
  for (const each of set.imports) {
    const { peer, who, listen } = each.spec;
    if (!peers.includes(peer)) tell(warnings, each.origin, 'spec.peer', unknownPeer(peer, peers));
    if (listen?.caller.kind !== 'as') continue;
    const { id } = listen.caller;
    if (!who.some((pattern) => matchesId(pattern, id)))
      tell(warnings, listen.origin, 'spec.listen.as', `"who" does not admit ${id}, so every connection is refused`);
  }
  for (const [index, { federatesWith, origin }] of set.mesh.spec.listeners.workloadApi.entries()) {
    for (const peer of federatesWith === 'all' ? [] : federatesWith)
      if (!peers.includes(peer))
        tell(warnings, origin, `spec.listeners.workloadApi[${index}].federatesWith`, unknownPeer(peer, peers));
  }
  for (const each of set.exports) warnOfRules(each, peers, warnings);
  return warnings.sorted();
}

function warnOfRules({ spec }: Export, known: readonly string[], warnings: ProblemList): void {
  for (const [index, { peers, who, what, origin }] of spec.allow.entries()) {
    const path = `spec.allow[${index}]`;
    for (const peer of peers ?? [])
      if (peer !== 'self' && !known.includes(peer)) tell(warnings, origin, `${path}.peers`, unknownPeer(peer, known));
    if (who === undefined) tell(warnings, origin, path, 'peers without who admits every workload of those meshes');
    if (what === undefined && !isTunnelProtocol(spec.protocol))
      tell(warnings, origin, path, 'no what: the rule admits every method and path');
    if (what?.grpc !== undefined && spec.protocol === 'http1')
      tell(warnings, origin, `${path}.what.grpc`, 'gRPC methods match no call of an export with protocol http1');
  }
}

function unknownPeer(name: string, known: readonly string[]): string {
  return `no Peer document is named ${quote(name)}${suggestion(name, known)}; it takes effect when such a peer joins`;
}
