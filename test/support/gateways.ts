/** Two gateways' links and control streams in one process: real TLS on port 0, stores in memory, snapshots set by the test. */
import { type Clock, systemClock } from '../../base/clock.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type CatalogueEntry } from '../../federation/catalogue/service.ts';
import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type BackoffOptions } from '../../base/backoff.ts';
import { createPeeringClient } from '../../federation/peering/client.ts';
import { type MeshIdentity } from '../../federation/peering/invite.ts';
import { InviteBook } from '../../federation/peering/invites.ts';
import { Registration } from '../../federation/peering/registration.ts';
import { createRuntimeDirectory } from '../../federation/peering/runtime-directory.ts';
import { servePeering } from '../../federation/peering/server.ts';
import { type SessionTiming } from '../../federation/peering/session.ts';
import { PeeringSupervisor } from '../../federation/peering/supervisor.ts';
import { type Snapshot, type SnapshotPeer, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { listenForLinks, type LinkListener } from '../../gateway/link/accept.ts';
import { type AcceptedLink } from '../../gateway/link/accepted-link.ts';
import { LinkDialer } from '../../gateway/link/dial.ts';
import { type Hello } from '../../gateway/link/hello.ts';
import { joinOf } from '../../gateway/link/join-connection.ts';
import { JoinServer } from '../../gateway/link/join-server.ts';
import { openPeeringBridge } from '../../gateway/link/peering-bridge.ts';
import { joinerReach } from '../../gateway/link/reach.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { UnreadBody } from '../../gateway/link/small-body.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { type ServerStream } from '../../gateway/message/stream.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { portOf } from './tls.ts';
import { svidSource, testDomain, type TestDomain, type TestSvidSource } from './trust.ts';

/** Fast enough for tests, slow enough for a busy machine. */
const TIMING: SessionTiming = { heartbeatMs: 100, degradedAfterMs: 2_000, closedAfterMs: 10_000 };

/** A snapshot that the test replaces. */
export interface TestSnapshots extends SnapshotSource {
  set(change: Partial<Snapshot>): void;
}

/** A call that came in over a link. */
export interface ArrivedCall {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly link: AcceptedLink;
}

/** One gateway, as far as links go. */
export interface TestGateway extends AsyncDisposable {
  readonly domain: TestDomain;
  readonly svid: TestSvidSource;
  readonly snapshots: TestSnapshots;
  readonly pool: LinkPool;
  readonly dialer: LinkDialer;
  readonly listener: LinkListener;
  readonly supervisor: PeeringSupervisor;
  readonly invites: InviteBook;
  readonly registration: Registration;
  readonly store: ReturnType<typeof memoryStore>;
  readonly identity: MeshIdentity;
  readonly port: number;
  /** Calls that came in over links, none answered by itself. */
  readonly calls: ArrivedCall[];
  readonly catalogues: Map<string, ImportedCatalogue>;
  exports: readonly CatalogueEntry[];
  /** Registers `other` under the first label of its trust domain. */
  peerWith(other: TestGateway, name: string): void;
  unpeer(name: string): void;
}

/** Waits for a state, looking at it often; fails after 20 s with `what`. */
export async function until(what: string, state: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = systemClock.monotonic() + 20_000;
  while (!(await state())) {
    if (systemClock.monotonic() > deadline) throw new Error(`still waiting for: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Starts one gateway. `hello` overrides parts of what it says of itself. */
export async function startGateway(
  trustDomain: string,
  hello: Partial<Hello> = {},
  clock: Clock = systemClock,
  backoff: BackoffOptions = { minMs: 10, maxMs: 100 },
): Promise<TestGateway> {
  const domain = testDomain(trustDomain);
  const failures: unknown[] = [];
  const lifetime = new Lifetime((task, error) => failures.push(task, error));
  const svid = svidSource(domain.svid('/jumpgate'));
  const snapshots = testSnapshots(domain);
  const pool = new LinkPool();
  const buffers = new BufferPool();
  const store = memoryStore();
  const instance = `${trustDomain.split('.')[0] ?? 'x'}-1`;
  const own: Hello = {
    versions: { min: 1, max: 1 },
    trustDomain: domain.trustDomain,
    instance,
    epoch: 1n,
    worker: 0,
    workers: 1,
    features: [],
    ...hello,
  };
  const runtime = lifetime.use(await createRuntimeDirectory());
  const ours = { trustDomain: domain.trustDomain, own: () => domain.bundle };
  const bundles = lifetime.use(await BundleSet.open({ store, log: silentLog, ...ours, clock: systemClock }));
  const invites = new InviteBook(store, systemClock);
  const declared = (): [] => [];
  const registration = new Registration({ store, bundles, ...ours, declared, clock: systemClock });
  const reach = joinerReach({ jump: { kind: 'tcp', host: '127.0.0.1', port: 0 }, clock: systemClock });
  const tainted = (): ReadonlySet<string> => snapshots.current().tainted;
  const joinParts = { invites, registration, tainted, clock: systemClock, log: silentLog, reach };
  const joins = lifetime.use(new JoinServer(joinParts));
  const state = { exports: [] as readonly CatalogueEntry[] };
  const calls: TestGateway['calls'] = [];
  const catalogues = new Map<string, ImportedCatalogue>();
  const bridge = lifetime.use(
    await openPeeringBridge({ runtime, pool, limits: LINK_CONNECTION, clock, log: silentLog }),
  );
  const client = lifetime.use(createPeeringClient({ socketPath: runtime.clientSocket, token: runtime.token }));
  const supervisor = new PeeringSupervisor({
    self: { trustDomain: domain.trustDomain, instance, epoch: own.epoch },
    clock,
    log: silentLog,
    open: (peer, to) => client.open(peer, to),
    instancesOf: (peer) => pool.instancesOf(peer),
    exportsFor: () => state.exports,
    bundlesOf: (peer) => ({
      ours: domain.bundle.sequence,
      theirs: snapshots.current().bundles.get(snapshots.current().peers.get(peer)?.trustDomain ?? domain.trustDomain)
        ?.sequence,
    }),
    onCatalogue: (peer, catalogue) => void catalogues.set(peer, catalogue),
    onBundleNudge: () => undefined,
    onTerminated: () => undefined,
    timing: TIMING,
    reconnect: { minMs: 10, maxMs: 100 },
  });
  const server = await servePeering({
    socketPath: runtime.serverSocket,
    token: runtime.token,
    onStream: (peer, from, stream) => supervisor.accept(peer, from, stream),
  });
  lifetime.use(server);
  lifetime.use(supervisor);
  const listener = lifetime.use(
    await listenForLinks({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      svid,
      snapshot: snapshots,
      hello: own,
      clock,
      log: silentLog,
      callsFor: (link) => ({
        onRequest: (stream, head) => {
          calls.push({ stream, head, link });
          return new UnreadBody(stream);
        },
        onRefused: () => undefined,
      }),
      peeringFor: (link) => bridge.peeringFor(link),
      buffers,
      bundleDocument: () => '{"keys":[]}',
      onJoin: (connection) => joins.serve(joinOf(connection)),
    }),
  );
  const dialer = lifetime.use(
    new LinkDialer({
      snapshot: snapshots,
      svid,
      pool,
      hello: own,
      linksPerPeer: 2,
      buffers,
      clock,
      log: silentLog,
      backoff,
    }),
  );
  lifetime.use(listener.watch((peer) => dialer.wake(peer)));
  lifetime.use(pool.watch(() => supervisor.instancesChanged()));
  const port = portOf(listener);
  const followPeers = (): void => supervisor.setPeers([...snapshots.current().peers.values()]);
  return {
    domain,
    svid,
    snapshots,
    pool,
    dialer,
    listener,
    supervisor,
    invites,
    registration,
    store,
    port,
    calls,
    catalogues,
    identity: {
      trustDomain: domain.trustDomain,
      gatewayId: gatewayIdOf(domain.trustDomain),
      addresses: [{ host: '127.0.0.1', port }],
      bundleEndpoint: { kind: 'link' },
      bundle: domain.bundle,
    },
    get exports(): readonly CatalogueEntry[] {
      return state.exports;
    },
    set exports(entries: readonly CatalogueEntry[]) {
      state.exports = entries;
      supervisor.exportsChanged();
    },
    peerWith: (other, name) => {
      const { peers, bundles: held } = snapshots.current();
      const { trustDomain: theirs, gatewayId, addresses } = other.identity;
      const peer: SnapshotPeer = { name, trustDomain: theirs, gatewayId, gateways: addresses };
      snapshots.set({
        peers: new Map([...peers, [name, peer]]),
        bundles: new Map<TrustDomain, Bundle>([...held, [theirs, other.domain.bundle]]),
      });
      followPeers();
    },
    unpeer: (name) => {
      const { peers } = snapshots.current();
      snapshots.set({ peers: new Map([...peers].filter(([each]) => each !== name)) });
      followPeers();
    },
    [Symbol.asyncDispose]: async () => {
      await lifetime[Symbol.asyncDispose]();
      if (failures.length > 0) throw new Error(`background work failed: ${failures.map(String).join(', ')}`);
    },
  };
}

function testSnapshots(domain: TestDomain): TestSnapshots {
  const listeners = new Set<(snapshot: Snapshot) => void>();
  let current: Snapshot = {
    mesh: domain.trustDomain,
    trustDomain: domain.trustDomain,
    gatewayId: gatewayIdOf(domain.trustDomain),
    generations: { trust: 1, policy: 1, imports: new Map() },
    limits: DEFAULT_LIMITS,
    linkMaxAgeMs: undefined,
    bundles: new Map([[domain.trustDomain, domain.bundle]]),
    tainted: new Set(),
    distrust: NO_DISTRUST,
    peers: new Map(),
    exports: new Map(),
    imports: new Map(),
    routes: [],
  };
  return {
    current: () => current,
    watch: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    set: (change) => {
      const generations = { ...current.generations, trust: current.generations.trust + 1 };
      current = { ...current, generations, ...change };
      for (const listener of [...listeners]) listener(current);
    },
  };
}
