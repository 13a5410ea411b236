/** The composition root: opens the parts of a gateway in the order they need each other, and closes them in reverse. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Writable } from 'node:stream';

import { asRecord } from '../base/brand.ts';
import { type Clock } from '../base/clock.ts';
import { formatProblem } from '../base/config/problem.ts';
import { watchDirectory } from '../base/config/watch.ts';
import { JumpgateError } from '../base/errors.ts';
import { parseJson } from '../base/json.ts';
import { type LogLevel, type LogRoot } from '../base/log.ts';
import { formatAddress } from '../base/net/bind-server.ts';
import { InviteBook } from '../federation/peering/invites.ts';
import { PeerBook } from '../federation/peering/peer-book.ts';
import { Registration } from '../federation/peering/registration.ts';
import { loadResources } from '../federation/resources/load.ts';
import { type ResourceSet } from '../federation/resources/values.ts';
import { type Bundle } from '../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../trust-bundles/identity/trust-domain.ts';
import { serveBundle } from '../trust-bundles/serve/bundle-endpoint.ts';
import { BundleSet } from '../trust-bundles/source/bundle-set.ts';
import { type EmbeddedCa } from '../trust-bundles/source/embedded.ts';
import { type StrangerConnection } from '../trust-bundles/tls/connection.ts';
import { selfTestChainGetter } from '../trust-bundles/tls/self-test.ts';
import { type GatewayOperations, type ListenerStatus } from './admin/operations.ts';
import { openAdminServer } from './admin/server.ts';
import { type CallHost } from './forward/call.ts';
import { Deadlines } from './forward/deadlines.ts';
import { LiveCalls } from './forward/live-calls.ts';
import { Views } from './forward/view.ts';
import { InboundCalls, type InboundLink } from './inbound/calls.ts';
import { BufferPool } from './message/output.ts';
import { JoinServer } from './link/join-server.ts';
import { joinerReach } from './link/reach.ts';
import { gatewayOperations, type SampledOperations } from './operations/gateway-operations.ts';
import { Configuration } from './process/configuration.ts';
import { Control } from './process/control.ts';
import { Lifecycle } from './process/lifecycle.ts';
import { type CallListeners, openCallListeners } from './process/listeners.ts';
import { type BoundListeners, meshIdentity, activeFirst } from './process/mesh-identity.ts';
import { type Peering, startPeering } from './process/peering.ts';
import { type Instance, openState } from './process/state.ts';
import { createServicePools, type ServicePools } from './routing/service-pool.ts';
import { TunnelCalls } from './tcp/tunnel-calls.ts';
import { type AccessLogLines, openAccessLogLines } from './telemetry/access-log-lines.ts';
import { CallCounters } from './telemetry/call-counters.ts';
import { CallSinks } from './telemetry/call-sinks.ts';
import { type KnownNames } from './telemetry/closed-labels.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { openStatusServer } from './telemetry/status-server.ts';

/** How to start. */
export interface GatewayOptions {
  readonly directory: string;
  /** Instead of the Mesh document's level, also after reloads. */
  readonly logLevel: LogLevel | undefined;
  readonly clock: Clock;
  readonly log: LogRoot;
  /** Where access lines go unless the Mesh document names a file. */
  readonly accessLog: Writable;
}

/** A running gateway. */
export interface Gateway {
  readonly operations: GatewayOperations;
  /** Reopens the access log and reads the configuration again. */
  hangUp(): void;
  /** Drains, then closes everything. */
  stop(): Promise<void>;
}

/** Starts a gateway, or throws with every problem in its message and nothing left open. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const loaded = await loadResources(options.directory);
  if (loaded.kind === 'problems') {
    throw new JumpgateError('config-refused', loaded.problems.map(formatProblem).join('\n'), { source: 'config' });
  }
  await selfTestChainGetter(options.clock);
  await using held = new AsyncDisposableStack();
  const { operations, hangUp, core } = await start(options, loaded, held);
  const kept = held.move();
  const stop = async (): Promise<void> => {
    await core.lifecycle.shutdown({ deadlineMs: core.control.resources.mesh.spec.drainMs });
    await kept.disposeAsync();
  };
  return { operations, hangUp, stop };
}

type Loaded = Extract<Awaited<ReturnType<typeof loadResources>>, { kind: 'ok' }>;

/** The parts below the listeners: state, trust, peers, the snapshot, and where calls are recorded. */
interface Core {
  readonly lifecycle: Lifecycle;
  readonly ca: EmbeddedCa;
  readonly instance: Instance;
  readonly storeAvailable: () => boolean;
  readonly bundles: BundleSet;
  readonly peers: PeerBook;
  readonly control: Control;
  readonly invites: InviteBook;
  readonly registration: Registration;
  readonly accessLog: AccessLogLines;
  readonly counters: CallCounters;
  /** Output of every connection. */
  readonly buffers: BufferPool;
  readonly calls: CallHost;
  readonly services: ServicePools;
}

async function openCore(options: GatewayOptions, set: ResourceSet, held: AsyncDisposableStack): Promise<Core> {
  const { clock, log } = options;
  const { spec } = set.mesh;
  log.level = options.logLevel ?? spec.logLevel;
  const state = held.use(await openState(spec, clock, log));
  const { store, ca, instance } = state;
  const own = (): Bundle => ca.bundle();
  const bundles = held.use(await BundleSet.open({ store, log, own }));
  const peers = held.use(await PeerBook.open(store, log));
  const control = held.use(new Control({ set, ca, bundles, peers, clock, log }));
  await control.apply(set);
  const declared = (): readonly { readonly name: string; readonly trustDomain: TrustDomain }[] =>
    control.resources.peers.map((peer) => ({ name: peer.name, trustDomain: peer.spec.trustDomain }));
  const target = accessLogTarget(options, spec.accessLogFile);
  const accessLog = held.use(await openAccessLogLines({ target, clock, log }));
  const counters = new CallCounters({ known: () => knownNames(control) });
  const sink = new CallSinks([accessLog, counters]);
  const calls = { clock, deadlines: held.use(new Deadlines(clock)), live: new LiveCalls(), sink };
  const buffers = new BufferPool();
  const services = held.use(createServicePools({ clock, buffers }));
  const follow = control.snapshots.watch((snapshot) => {
    services.keep(snapshot.exports);
    counters.namesChanged();
  });
  held.use(follow);
  return {
    lifecycle: new Lifecycle({ clock, log }),
    ca,
    instance,
    storeAvailable: () => state.storeAvailable(),
    bundles,
    peers,
    control,
    invites: new InviteBook(store, clock),
    registration: new Registration({ store, bundles, own, declared, clock }),
    accessLog,
    counters,
    buffers,
    calls,
    services,
  };
}

/** The listeners for peers and for calls. */
interface Front {
  readonly peering: Peering;
  readonly calls: CallListeners;
  readonly bound: BoundListeners;
}

async function openFront(
  options: GatewayOptions,
  core: Core,
  set: ResourceSet,
  held: AsyncDisposableStack,
): Promise<Front> {
  const { clock, log } = options;
  const { buffers, ca, control, invites, lifecycle, registration, services } = core;
  const { linksPerPeer, listeners } = set.mesh.spec;
  const { snapshots } = control;
  const tunnels = held.use(new TunnelCalls(core.calls, snapshots));
  const deps = { views: new Views(snapshots), services, host: core.calls, tunnels };
  const joins = held.use(
    new JoinServer({ invites, registration, clock, log, reach: joinerReach({ jump: listeners.jump.address, clock }) }),
  );
  const callsFor = (link: InboundLink): InboundCalls => new InboundCalls(deps, link);
  const onJoin = (connection: StrangerConnection): void => joins.serve(connection);
  const peering = held.use(
    await startPeering({ ...core, jump: listeners.jump.address, linksPerPeer, callsFor, onJoin, clock, log }),
  );
  const { listener } = peering;
  lifecycle.register('jump', {
    stopAccepting: () => listener.stopAccepting(),
    drain: (signal) => listener.drain(signal),
    destroy: async () => listener[Symbol.asyncDispose](),
  });
  const { address } = listeners.bundle;
  const bundle = held.use(await serveBundle({ address, svid: ca.svid, bundle: () => ca.bundle(), log, clock }));
  const callDeps = { ...deps, links: peering.pool };
  const host = { clock, buffers };
  const calls = held.use(
    await openCallListeners({ resources: set, deps: callDeps, host, snapshots, svid: ca.svid, lifecycle, log }),
  );
  return { peering, calls, bound: { jump: listener.address, bundle: bundle.address } };
}

async function start(
  options: GatewayOptions,
  loaded: Loaded,
  held: AsyncDisposableStack,
): Promise<Omit<Gateway, 'stop'> & { readonly core: Core }> {
  const { clock, directory, log } = options;
  const core = await openCore(options, loaded.set, held);
  const { accessLog, ca, control, lifecycle } = core;
  const starting = lifecycle.begin('start');
  const front = await openFront(options, core, loaded.set, held);
  const { bound, calls, peering } = front;
  const configuration = new Configuration({
    directory,
    first: loaded,
    apply: (set) => apply({ options, control, calls }, set),
    clock,
    log,
  });
  const stopped = new AbortController();
  held.defer(() => stopped.abort());
  const listeners: ListenerStatus[] = [
    { name: 'jump', kind: 'jump', address: formatAddress(bound.jump), caller: null },
    { name: 'bundle', kind: 'bundle', address: formatAddress(bound.bundle), caller: null },
    ...calls.statuses,
  ];
  const operations = gatewayOperations({
    ...core,
    version: packageVersion(),
    startedAtMs: clock.now(),
    configuration,
    peering,
    listeners: () => listeners,
    self: () => meshIdentity(control.resources.mesh.spec, bound, activeFirst(ca.bundle(), activeRootOf(ca))),
    accessLogDropped: () => accessLog.dropped,
    stopped: stopped.signal,
    clock,
    log,
  });
  listeners.push(...(await openAdministration(options, { core, operations, set: loaded.set }, held)));
  const reload = (): void => void configuration.reload();
  held.use(await watchDirectory({ directory, onQuiet: reload, clock }));
  starting[Symbol.dispose]();
  const at = listeners.map(({ name, address }) => `${name} ${address}`);
  log.info('gateway is ready', { mesh: loaded.set.mesh.name, listeners: at });
  const hangUp = (): void => {
    void accessLog.reopen();
    reload();
  };
  return { operations, hangUp, core };
}

/** The status and the admin listener; the metrics begin to count here. */
async function openAdministration(
  options: GatewayOptions,
  parts: { readonly core: Core; readonly operations: SampledOperations; readonly set: ResourceSet },
  held: AsyncDisposableStack,
): Promise<readonly ListenerStatus[]> {
  const { log } = options;
  const { core, operations } = parts;
  const { listeners } = parts.set.mesh.spec;
  const metrics = createMetrics({
    version: packageVersion(),
    sample: operations.sample,
    counts: () => core.counters.snapshot(),
  });
  const readiness = core.lifecycle;
  const status = held.use(await openStatusServer({ address: listeners.status, readiness, metrics, log }));
  const { address, tokenFile } = listeners.admin;
  const admin = held.use(await openAdminServer({ address, tokenFile, operations, log }));
  return [
    { name: 'status', kind: 'status', address: formatAddress(status.address), caller: null },
    { name: 'admin', kind: 'admin', address: formatAddress(admin.address), caller: null },
  ];
}

/** Takes documents into force; certificates first, since they can still be refused. */
async function apply(
  parts: { readonly options: GatewayOptions; readonly control: Control; readonly calls: CallListeners },
  set: ResourceSet,
): Promise<void> {
  await parts.calls.renewCertificates(set);
  await parts.control.apply(set);
  parts.options.log.level = parts.options.logLevel ?? set.mesh.spec.logLevel;
}

function activeRootOf(ca: EmbeddedCa): string | undefined {
  return ca.roots().find(({ phase }) => phase === 'active')?.fingerprint;
}

function accessLogTarget(
  { accessLog }: GatewayOptions,
  path: string | undefined,
): Parameters<typeof openAccessLogLines>[0]['target'] {
  return path === undefined ? { kind: 'stream', stream: accessLog } : { kind: 'file', path };
}

function knownNames({ snapshots }: Control): KnownNames {
  const { exports, imports, peers } = snapshots.current();
  return {
    peers: new Set(peers.keys()),
    exports: new Set([...exports.keys(), ...[...imports.values()].map((item) => item.export)]),
  };
}

/** From package.json, which stands beside this folder in a checkout and above dist/ in a package. */
function packageVersion(): string {
  for (const above of ['..', '../..']) {
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
