/** What the admin API can ask and tell a running gateway: each operation in a line or few, over the parts that do the work. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError } from '../../base/errors.ts';
import { type LogRoot } from '../../base/log.ts';
import { type StoreTrouble } from '../../base/store/remembered.ts';
import { formatOrigin } from '../../base/origin.ts';
import { type InviteBook } from '../../federation/peering/invites.ts';
import { type MeshIdentity } from '../../federation/peering/invite.ts';
import { type PeerBook } from '../../federation/peering/peer-book.ts';
import { type Registration } from '../../federation/peering/registration.ts';
import { SELF_PEER } from '../../federation/policy/rule.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import {
  type Condition,
  type GatewayOperations,
  type GatewayStatus,
  type InviteRequest,
  type IssuedInvite,
  type JoinRequest,
  type JoinResult,
  type ListenerStatus,
  type PeerRemoval,
  type PeerStatus,
} from '../admin/operations.ts';
import { describeCall } from '../admin/operations-explain.ts';
import { join } from '../link/join-client.ts';
import { approveJoin } from '../link/join-server.ts';
import { reachUs } from '../link/reach.ts';
import { type Configuration } from '../process/configuration.ts';
import { type Control } from '../process/control.ts';
import { type Lifecycle } from '../process/lifecycle.ts';
import { type DataSide } from '../process/data-side.ts';
import { type Peering } from '../process/peering.ts';
import { type Instance } from '../process/state.ts';
import { type WorkloadSockets } from '../process/workload-sockets.ts';
import { type GatewaySample } from '../telemetry/sample.ts';
import { acceptBundle, bundleText, importBundle } from './bundle-changes.ts';
import { bundleConditions } from './bundle-conditions.ts';
import { bundleStatuses, earliestEndMs } from './bundles.ts';
import { embeddedOnly } from './embedded.ts';
import { identityConditions, identitySample, identityStatus } from './own-identity.ts';
import { jwtOperations } from './jwt.ts';
import { exportStatus, heldStatus, importStatuses, type PeerFacts, peerStatus } from './peers.ts';
import { processConditions } from './processes.ts';
import { quarantineConditions, quarantineCounts, quarantineOperations } from './quarantine.ts';
import { peerSample } from './sample.ts';
import { storeConditions } from './store.ts';
import { issueWorkloadSvid } from './workload-svid.ts';

/** The parts of a running gateway. */
export interface GatewayParts {
  readonly version: string;
  readonly startedAtMs: number;
  readonly instance: Instance;
  readonly storeAvailable: () => boolean;
  readonly storeTrouble: () => StoreTrouble | undefined;
  readonly identity: IdentitySource;
  readonly ca: EmbeddedCa | undefined;
  readonly bundles: BundleSet;
  readonly peers: PeerBook;
  readonly distrust: DistrustSet;
  readonly invites: InviteBook;
  readonly registration: Registration;
  readonly control: Control;
  readonly configuration: Configuration;
  readonly peering: Peering;
  readonly data: DataSide;
  readonly lifecycle: Lifecycle;
  readonly listeners: () => readonly ListenerStatus[];
  readonly workloads: WorkloadSockets;
  readonly self: () => MeshIdentity;
  readonly stopped: AbortSignal;
  readonly clock: Clock;
  readonly log: LogRoot;
}

/** The operations, and the sample that metrics show. */
export interface SampledOperations extends GatewayOperations {
  readonly sample: () => GatewaySample;
}

/** Makes the operations of a running gateway. */
export function gatewayOperations(parts: GatewayParts): SampledOperations {
  const { ca, configuration, control, data, log, peering } = parts;
  const snapshot = (): ReturnType<typeof control.snapshots.current> => control.snapshots.current();
  const bundleFacts = {
    held: parts.bundles,
    endpointOf: control.bundleEndpointOf.bind(control),
    staleLimitOf: control.staleLimitOf.bind(control),
    get nowMs(): number {
      return parts.clock.now();
    },
    poll: peering.poll.state.bind(peering.poll),
    get activeRoot(): string | undefined {
      return ca?.roots().find(({ phase }) => phase === 'active')?.anchors[0];
    },
    ownJwtKeys: () => ca?.jwtKeys() ?? [],
  };
  const { bundles, stopped } = parts;
  const byHand = { snapshot, bundles, fetch: peering.fetch, stopped, log };
  return {
    version: () => ({ version: parts.version, node: process.version }),
    status: async () => {
      await data.refresh();
      return { ...statusOf(parts, await heldPeers(parts)), bundles: bundleStatuses(snapshot(), bundleFacts) };
    },
    peers: async () => {
      await data.refresh();
      return [...peersOf(parts), ...(await heldPeers(parts))];
    },
    removePeer: (name) => removePeer(parts, name),
    approvePeer: async (name) => {
      await approveJoin(name, parts);
      await parts.peers.refresh();
      return findPeer(parts, name);
    },
    exports: async () => [...snapshot().exports.values()].map((item) => exportStatus(snapshot(), item, factsOf(parts))),
    imports: async () => importStatuses(snapshot()),
    bundles: async () => bundleStatuses(snapshot(), bundleFacts),
    bundleDocument: async (peer) => bundleText(byHand, peer),
    acceptBundle: (peer, fingerprints) => acceptBundle(byHand, peer, fingerprints),
    importBundle: (peer, file) => importBundle(byHand, peer, file),
    links: async () => {
      await data.refresh();
      return data.links();
    },
    invite: (request) => invite(parts, request),
    join: (request) => joinPeer(parts, request),
    reload: () => configuration.reload(),
    svid: async (request) => issueWorkloadSvid(embeddedOnly(ca, 'issues SVIDs'), request),
    rotate: async ({ force }) => embeddedOnly(peering.rotation, 'has a root to rotate').rotate(force),
    rehearseRotation: async () => {
      await data.refresh();
      return embeddedOnly(peering.rotation, 'has a root to rotate').rehearse(data.links());
    },
    ...jwtOperations({ ca, snapshot, clock: parts.clock }),
    explain: async (request) => describeCall(snapshot(), request),
    ...quarantineOperations(parts),
    logLevel: () => log.level,
    setLogLevel: (level) => {
      log.level = level;
      data.setLogLevel(level);
    },
    sample: () => sampleOf(parts),
  };
}

function statusOf(parts: GatewayParts, held: readonly PeerStatus[]): Omit<GatewayStatus, 'bundles'> {
  const { configuration, control, instance, lifecycle } = parts;
  const snapshot = control.snapshots.current();
  const facts = factsOf(parts);
  return {
    mesh: snapshot.mesh,
    trustDomain: snapshot.trustDomain,
    gatewayId: snapshot.gatewayId,
    identity: identityStatus(parts.identity),
    instance: instance.id,
    version: parts.version,
    startedAt: new Date(parts.startedAtMs).toISOString(),
    state: lifecycle.state,
    pending: lifecycle.pending,
    listeners: [...parts.listeners(), ...parts.workloads.statuses],
    processes: parts.data.processes(),
    peers: [...peersOf(parts), ...held],
    exports: [...snapshot.exports.values()].map((item) => exportStatus(snapshot, item, facts)),
    imports: importStatuses(snapshot),
    conditions: conditionsOf(parts),
    config: {
      directory: configuration.directory,
      digest: configuration.lastReload.digest,
      lastReload: configuration.lastReload,
    },
  };
}

/** Conditions of the snapshot that somebody must see to. */
const ERRORS: ReadonlySet<string> = new Set(['BundleEmpty', 'BundleStale']);

function conditionsOf(parts: GatewayParts): readonly Condition[] {
  const { bundles, clock, control, data, distrust, identity } = parts;
  const resources = control.conditions.map(({ resource, type, message, origin }) => ({
    type,
    severity: ERRORS.has(type) ? ('error' as const) : ('warning' as const),
    subject: resource,
    message: origin === undefined ? message : `${message} (${formatOrigin(origin)})`,
  }));
  const dials = data.failures().map(({ peer, address, code, message }) => ({
    type: 'LinkFailing',
    severity: 'warning' as const,
    subject: `Peer/${peer}`,
    message: `${address}: ${code}: ${message}`,
  }));
  const endpointOf = control.bundleEndpointOf.bind(control);
  const trust = bundleConditions({ snapshot: control.snapshots.current(), bundles, endpointOf, clock });
  const own = identityConditions(identity, control.snapshots.current().mesh);
  const kept = [...quarantineConditions(distrust), ...storeConditions(parts.storeTrouble(), clock.now())];
  return [...own, ...resources, ...trust, ...dials, ...processConditions(data), ...kept];
}

function factsOf(parts: GatewayParts): PeerFacts {
  return {
    peering: (peer) => parts.peering.supervisor.status(peer),
    links: parts.data.links(),
    declared: new Set(parts.control.resources.peers.map(({ name }) => name)),
    stored: new Set(parts.peers.all().map(({ name }) => name)),
  };
}

function peersOf(parts: GatewayParts): readonly PeerStatus[] {
  const snapshot = parts.control.snapshots.current();
  const facts = factsOf(parts);
  return [...snapshot.peers.values()].map((peer) => peerStatus(snapshot, peer, facts));
}

/** Meshes that wait for approval; none while the store is away, which must not hide what goes on without it. */
async function heldPeers({ invites }: GatewayParts): Promise<readonly PeerStatus[]> {
  try {
    return (await invites.held()).flatMap((held) => heldStatus(held) ?? []);
  } catch (error) {
    if (codeOf(error) !== 'store-unavailable') throw error;
    return [];
  }
}

function findPeer(parts: GatewayParts, name: string): PeerStatus {
  const found = peersOf(parts).find((peer) => peer.name === name);
  if (found !== undefined) return found;
  throw new JumpgateError('peer-unknown', `no peer ${name} is registered here`, { source: 'caller' });
}

/** The row and the bundle go; the snapshot that follows closes the links and tells the peer. */
async function removePeer(parts: GatewayParts, name: string): Promise<PeerRemoval> {
  const declared = parts.control.resources.peers.find((peer) => peer.name === name);
  if (declared !== undefined) {
    const message = `peer ${name} is declared at ${formatOrigin(declared.origin)}: remove the document instead`;
    throw new JumpgateError('peer-declared', message, { source: 'caller' });
  }
  const stored = parts.control.storedPeer(name);
  if (stored === undefined) return turnDown(parts, name);
  await parts.data.refresh();
  const linksClosed = parts.data.links().filter((link) => link.peer === name).length;
  await parts.peering.supervisor.dismiss(name);
  await parts.peers.remove(name);
  await parts.bundles.remove(stored.trustDomain);
  await parts.data.settled();
  return { name, trustDomain: stored.trustDomain, linksClosed };
}

/** Removes a mesh that waits for approval: its invite is spent, and nothing of it was registered. */
async function turnDown({ invites }: GatewayParts, name: string): Promise<PeerRemoval> {
  const held = (await invites.held()).find(({ row }) => row.peer === name);
  if (held === undefined)
    throw new JumpgateError('peer-unknown', `no peer ${name} is registered here`, { source: 'caller' });
  await invites.settle(held);
  return { name, trustDomain: held.row.audience, linksClosed: 0 };
}

async function invite(parts: GatewayParts, request: InviteRequest): Promise<IssuedInvite> {
  const audience = parseTrustDomain(request.trustDomain);
  const snapshot = parts.control.snapshots.current();
  if (audience === snapshot.trustDomain) {
    throw new JumpgateError('own-trust-domain', `${audience} is the trust domain of this mesh`, { source: 'caller' });
  }
  if (request.peer === SELF_PEER) {
    throw new JumpgateError('name-reserved', `no peer can be called ${SELF_PEER}: in rules that is our own mesh`, {
      source: 'caller',
    });
  }
  const inviter = parts.self();
  const { clock, identity, stopped: signal } = parts;
  const reached = await reachUs({ self: inviter, svid: identity.svid, tainted: snapshot.tainted, clock, signal });
  const { id, token, expiresAtMs } = await parts.invites.issue({
    mesh: snapshot.mesh,
    inviter,
    peer: request.peer,
    audience,
    approve: request.approve ?? false,
    ...(request.ttlSeconds === undefined ? {} : { ttlMs: request.ttlSeconds * 1000 }),
  });
  return {
    id,
    token,
    peer: request.peer,
    trustDomain: audience,
    fingerprint: inviter.bundle.x509Authorities[0]?.fingerprint ?? '',
    addresses: reached,
    expiresAt: new Date(expiresAtMs).toISOString(),
  };
}

async function joinPeer(parts: GatewayParts, request: JoinRequest): Promise<JoinResult> {
  const { clock, identity, registration, stopped } = parts;
  const { tainted } = parts.control.snapshots.current();
  const own = { self: parts.self(), svid: identity.svid, registration, tainted };
  const outcome = await join({ ...request, ...own, clock, signal: stopped });
  await parts.peers.refresh();
  return outcome;
}

function sampleOf(parts: GatewayParts): GatewaySample {
  const { clock, control, lifecycle, peering } = parts;
  const snapshot = control.snapshots.current();
  const own = snapshot.bundles.get(snapshot.trustDomain);
  const nowMs = clock.now();
  const endMs = own && earliestEndMs(own);
  return {
    peers: peersOf(parts).map((status) => {
      const domain = snapshot.peers.get(status.name)?.trustDomain;
      return peerSample({
        snapshot,
        status,
        peering: peering.supervisor.status(status.name),
        ends: peering.supervisor.ends(status.name),
        counts: peering.supervisor.counts(status.name),
        catalogue: control.catalogues.get(status.name),
        poll: domain && peering.poll.state(domain),
        refreshedAtMs: domain && parts.bundles.refreshedAtMs(domain),
        nowMs,
      });
    }),
    bundleSequence: own?.sequence,
    bundleNotAfterSeconds: endMs === undefined ? undefined : (endMs - nowMs) / 1000,
    accessLogDropped: parts.data.accessLogDropped(),
    reloads: parts.configuration.counts,
    quarantine: quarantineCounts(parts.distrust),
    ready: lifecycle.state === 'ready',
    storeAvailable: parts.storeAvailable(),
    storeMended: parts.storeTrouble()?.mended ?? 0,
    storeUnsaved: parts.storeTrouble()?.unsaved ?? 0,
    ...identitySample(parts.identity, nowMs),
    workloadApi: parts.workloads.sample,
  };
}
