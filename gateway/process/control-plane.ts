/** The control side of a gateway: documents, CA, store, peering, joins and the listeners for operators. It carries no call. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { formatProblem } from '../../base/config/problem.ts';
import { watchDirectory } from '../../base/config/watch.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type LogLevel, type LogRoot } from '../../base/log.ts';
import { type BindServer, formatAddress } from '../../base/net/bind-server.ts';
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type StoreTrouble } from '../../base/store/remembered.ts';
import { InviteBook } from '../../federation/peering/invites.ts';
import { PeerBook } from '../../federation/peering/peer-book.ts';
import { Registration } from '../../federation/peering/registration.ts';
import { type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { isShared } from '../../federation/resources/shared-port.ts';
import { type BindAddress, type ResourceSet } from '../../federation/resources/values.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { distrustCopy } from '../../trust-bundles/distrust/distrust-copy.ts';
import { DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { serveBundle } from '../../trust-bundles/serve/bundle-endpoint.ts';
import { CertificateFiles } from '../../trust-bundles/source/certificate-files.ts';
import { svidCredentials } from '../../trust-bundles/tls/server-credentials.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { selfTestChainGetter } from '../../trust-bundles/tls/self-test.ts';
import { type GatewayOperations, type ListenerStatus } from '../admin/operations.ts';
import { openAdminServer } from '../admin/server.ts';
import { JoinServer } from '../link/join-server.ts';
import { joinerReach } from '../link/reach.ts';
import { gatewayOperations, type SampledOperations } from '../operations/gateway-operations.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { openStatusServer } from '../telemetry/status-server.ts';
import { Configuration, type FirstDocuments } from './configuration.ts';
import { Control } from './control.ts';
import { type DataSide } from './data-side.ts';
import { readEdges } from './edge-credentials.ts';
import { Lifecycle } from './lifecycle.ts';
import { activeFirst, meshIdentity } from './mesh-identity.ts';
import { awaitSvid, knownBundle } from './own-identity.ts';
import { startPeering } from './peering.ts';
import { type Instance, openState } from './state.ts';
import { withdrawTainted } from './withdraw-tainted.ts';
import { WorkloadSockets } from './workload-sockets.ts';

/** Beside the instance's other state; what the store says counts as well. */
const DISTRUST_COPY_FILE = 'quarantine.json';

/** How to start. */
export interface ControlPlaneOptions {
  readonly directory: string;
  /** Instead of the Mesh document's level, also after reloads. */
  readonly logLevel: LogLevel | undefined;
  /** SPIFFE_ENDPOINT_SOCKET, where the Mesh document names no socket. */
  readonly endpointSocket?: string | undefined;
  readonly clock: Clock;
  readonly log: LogRoot;
}

/** Documents that are valid. */
export type LoadedDocuments = FirstDocuments;

/** The parts that need no listener: state, trust, peers and the snapshot. */
export interface ControlCore {
  readonly lifecycle: Lifecycle;
  readonly identity: IdentitySource;
  readonly ca: EmbeddedCa | undefined;
  readonly instance: Instance;
  readonly storeAvailable: () => boolean;
  readonly storeTrouble: () => StoreTrouble | undefined;
  readonly bundles: BundleSet;
  readonly peers: PeerBook;
  readonly distrust: DistrustSet;
  readonly control: Control;
  readonly invites: InviteBook;
  readonly registration: Registration;
  readonly joins: JoinServer;
  readonly workloads: WorkloadSockets;
}

/** Reads the documents and tries out the runtime; throws with every problem in its message. */
export async function loadDocuments({ directory, clock }: ControlPlaneOptions): Promise<LoadedDocuments> {
  const loaded = await loadResources(directory);
  if (loaded.kind === 'problems') {
    throw new JumpgateError('config-refused', loaded.problems.map(formatProblem).join('\n'), { source: 'config' });
  }
  await selfTestChainGetter(clock);
  return loaded;
}

/** Opens the core. `catalogues` is what peers had announced to the process before this one. */
export async function openControlCore(
  options: ControlPlaneOptions,
  set: ResourceSet,
  held: AsyncDisposableStack,
  catalogues?: ReadonlyMap<string, ImportedCatalogue>,
): Promise<ControlCore> {
  const { clock, log } = options;
  const { spec } = set.mesh;
  log.level = options.logLevel ?? spec.logLevel;
  const state = held.use(await openState(spec, clock, log, options.endpointSocket));
  const { store, identity, ca, bundles, instance } = state;
  const { trustDomain } = spec;
  const own = (): Bundle | undefined => identity.bundle();
  const peers = held.use(await PeerBook.open(store, log));
  const copy = distrustCopy(join(spec.identity.directory, DISTRUST_COPY_FILE), log);
  const distrust = held.use(await DistrustSet.open({ store, copy, clock, log }));
  const control = held.use(new Control({ set, identity, bundles, peers, distrust, catalogues, clock, log }));
  if (ca !== undefined) held.use(await withdrawTainted({ ca, snapshots: control.snapshots, log }));
  await control.apply(set);
  const declared = (): readonly { readonly name: string; readonly trustDomain: TrustDomain }[] =>
    control.resources.peers.map((peer) => ({ name: peer.name, trustDomain: peer.spec.trustDomain }));
  const invites = new InviteBook(store, clock);
  const registration = new Registration({ store, bundles, trustDomain, own, declared, clock });
  const tainted = (): ReadonlySet<string> => control.snapshots.current().tainted;
  const reach = joinerReach({ jump: spec.listeners.jump.address, clock });
  const lifecycle = new Lifecycle({ clock, log });
  held.use(awaitSvid({ identity, lifecycle, log }));
  return {
    lifecycle,
    identity,
    ca,
    instance,
    storeAvailable: () => state.storeAvailable(),
    storeTrouble: () => state.storeTrouble(),
    bundles,
    peers,
    distrust,
    control,
    invites,
    registration,
    workloads: held.use(new WorkloadSockets({ ca, snapshots: control.snapshots, clock, log })),
    joins: held.use(new JoinServer({ invites, registration, tainted, clock, log, reach })),
  };
}

/** What the rest is opened with. */
export interface ControlParts {
  readonly core: ControlCore;
  readonly loaded: LoadedDocuments;
  readonly data: DataSide;
  readonly runtime: Pick<RuntimePaths, 'serverSocket' | 'bundleSocket' | 'token'>;
  /** Where the jump listener is bound, and what status shows of the listeners for calls. */
  readonly jump: BindAddress;
  readonly calls: readonly ListenerStatus[];
  /** How the listener of a name is bound; default is to listen. */
  readonly bindOf?: ((name: string) => BindServer) | undefined;
}

/** A running control side. */
export interface ControlPlane {
  readonly operations: GatewayOperations;
  /** Reads the documents again. */
  readonly reload: () => void;
}

/** Opens peering, and the listeners for bundle, status and operators. Throws what binding throws. */
export async function openControlPlane(
  options: ControlPlaneOptions,
  parts: ControlParts,
  held: AsyncDisposableStack,
): Promise<ControlPlane> {
  const { clock, directory, log } = options;
  const { core, data, loaded, bindOf } = parts;
  const { ca, control, identity } = core;
  const startedAtMs = clock.now();
  const peering = held.use(await startPeering({ ...core, ...parts, clock, log }));
  const { listeners: declared } = loaded.set.mesh.spec;
  const { address, web } = declared.bundle;
  const shared = isShared(declared);
  const files = web && held.use(await CertificateFiles.open({ ...web, clock, log }));
  const credentials = files ?? svidCredentials(identity.svid);
  const bundle = held.use(
    await serveBundle({
      address: shared ? { kind: 'unix', path: parts.runtime.bundleSocket } : address,
      bind: shared ? undefined : bindOf?.('bundle'),
      credentials,
      bundle: () => identity.bundle(),
      log,
      clock,
    }),
  );
  await core.workloads.apply(loaded.set.mesh.spec.listeners.workloadApi);
  const bound = { jump: parts.jump, bundle: shared ? parts.jump : bundle.address };
  const apply = async (set: ResourceSet): Promise<void> => {
    await files?.refresh();
    await applyDocuments(options, parts, set);
  };
  const storedPeers = (): readonly string[] => core.peers.all().map(({ name }) => name);
  const configuration = new Configuration({ directory, first: loaded, storedPeers, apply, clock, log });
  const stopped = new AbortController();
  held.defer(() => stopped.abort());
  const listeners: ListenerStatus[] = [
    { name: 'jump', kind: 'jump', address: formatAddress(bound.jump), caller: null },
    { name: 'bundle', kind: 'bundle', address: formatAddress(bound.bundle), caller: null },
    ...parts.calls,
  ];
  const operations = gatewayOperations({
    ...core,
    version: packageVersion(),
    startedAtMs,
    configuration,
    peering,
    data,
    listeners: () => listeners,
    self: () => meshIdentity(control.resources.mesh.spec, bound, activeFirst(knownBundle(identity), activeRootOf(ca))),
    stopped: stopped.signal,
    clock,
    log,
  });
  listeners.push(...(await openAdministration(options, parts, { operations, held })));
  const reload = (): void => void configuration.reload();
  held.use(await watchDirectory({ directory, onQuiet: reload, clock }));
  const at = listeners.map(({ name, address: where }) => `${name} ${where}`);
  const facts = { mesh: loaded.set.mesh.name, listeners: at };
  if (identity.svid.current() === undefined) log.warn('gateway is up, and not ready without an svid', facts);
  else log.info('gateway is ready', facts);
  return { operations, reload };
}

/** The status and the admin listener; the metrics begin to count here. */
async function openAdministration(
  { log }: ControlPlaneOptions,
  { bindOf, core, data, loaded }: ControlParts,
  { operations, held }: { readonly operations: SampledOperations; readonly held: AsyncDisposableStack },
): Promise<readonly ListenerStatus[]> {
  const { listeners } = loaded.set.mesh.spec;
  const metrics = createMetrics({
    version: packageVersion(),
    sample: operations.sample,
    counts: () => data.counts(),
  });
  const { status: at } = listeners;
  const readiness = core.lifecycle;
  const status = held.use(await openStatusServer({ address: at, bind: bindOf?.('status'), readiness, metrics, log }));
  const { address, tokenFile } = listeners.admin;
  const admin = held.use(await openAdminServer({ address, bind: bindOf?.('admin'), tokenFile, operations, log }));
  return [
    { name: 'status', kind: 'status', address: formatAddress(status.address), caller: null },
    { name: 'admin', kind: 'admin', address: formatAddress(admin.address), caller: null },
  ];
}

/** Takes documents into force; certificates and sockets first, since they can still be refused. */
async function applyDocuments(
  { log, logLevel }: ControlPlaneOptions,
  { core, data }: ControlParts,
  set: ResourceSet,
): Promise<void> {
  const edges = await readEdges(set.edges);
  await core.workloads.apply(set.mesh.spec.listeners.workloadApi);
  data.replaceCertificates(edges);
  await core.control.apply(set);
  log.level = logLevel ?? set.mesh.spec.logLevel;
  data.setLogLevel(log.level);
}

function activeRootOf(ca: EmbeddedCa | undefined): string | undefined {
  return ca?.roots().find(({ phase }) => phase === 'active')?.anchors[0];
}

/** From package.json, which stands above these folders in a checkout and above dist/ in a package. */
function packageVersion(): string {
  for (const above of ['../..', '../../..']) {
    try {
      const { name, version } =
        asRecord(parseJson(readFileSync(join(import.meta.dirname, above, 'package.json')))) ?? {};
      if (name === 'jumpgate' && typeof version === 'string') return version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}
