/** The composition root: opens the parts of a gateway in the order they need each other, and closes them in reverse. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Writable } from 'node:stream';

import { type Clock } from '../base/clock.ts';
import { formatProblem } from '../base/config/problem.ts';
import { watchDirectory } from '../base/config/watch.ts';
import { asRecord } from '../base/brand.ts';
import { JumpgateError, messageOf } from '../base/errors.ts';
import { parseJson } from '../base/json.ts';
import { type LogLevel, type LogRoot } from '../base/log.ts';
import { formatAddress } from '../base/net/bind-server.ts';
import { InviteBook } from '../federation/peering/invites.ts';
import { PeerBook } from '../federation/peering/peer-book.ts';
import { Registration } from '../federation/peering/registration.ts';
import { loadResources } from '../federation/resources/load.ts';
import { type ResourceSet } from '../federation/resources/values.ts';
import { serveBundle } from '../trust-bundles/serve/bundle-endpoint.ts';
import { BundleSet } from '../trust-bundles/source/bundle-set.ts';
import { selfTestChainGetter } from '../trust-bundles/tls/self-test.ts';
import { type GatewayOperations, type ListenerStatus } from './admin/operations.ts';
import { openAdminServer } from './admin/server.ts';
import { inboundCall } from './inbound/call.ts';
import { JoinServer } from './link/join-server.ts';
import { gatewayOperations } from './operations/gateway-operations.ts';
import { Configuration } from './process/configuration.ts';
import { Control } from './process/control.ts';
import { Lifecycle } from './process/lifecycle.ts';
import { type CallListeners, openCallListeners } from './process/listeners.ts';
import { meshIdentity } from './process/mesh-identity.ts';
import { startPeering } from './process/peering.ts';
import { openState } from './process/state.ts';
import { createServicePools } from './routing/service-pool.ts';
import { openAccessLog } from './telemetry/access-log.ts';
import { type CallSink } from './telemetry/call-record.ts';
import { createMetrics, type KnownNames, type Metrics } from './telemetry/metrics.ts';
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
  const started = await start(options, loaded, held);
  const kept = held.move();
  return { ...started, stop: async () => stop(started.lifecycle, started.control, kept) };
}

async function stop(lifecycle: Lifecycle, control: Control, kept: AsyncDisposableStack): Promise<void> {
  await lifecycle.shutdown({ deadlineMs: control.resources.mesh.spec.drainMs });
  await kept.disposeAsync();
}

type Loaded = Extract<Awaited<ReturnType<typeof loadResources>>, { kind: 'ok' }>;

/** The parts below the listeners. */
async function openCore(options: GatewayOptions, set: ResourceSet, held: AsyncDisposableStack) {
  const { clock, log } = options;
  const { spec } = set.mesh;
  log.level = options.logLevel ?? spec.logLevel;
  const lifecycle = new Lifecycle({ clock, log });
  const { store, ca, instance } = held.use(await openState(spec, clock, log));
  const bundles = held.use(await BundleSet.open({ store, log, own: () => ca.bundle() }));
  const peers = held.use(await PeerBook.open(store, log));
  const control = held.use(new Control({ set, ca, bundles, peers, clock, log }));
  await control.apply(set);
  const invites = new InviteBook(store, clock);
  const declared = (): readonly { readonly name: string; readonly trustDomain: typeof spec.trustDomain }[] =>
    control.resources.peers.map((peer) => ({ name: peer.name, trustDomain: peer.spec.trustDomain }));
  const registration = new Registration({ store, bundles, own: () => ca.bundle(), declared, clock });
  return { lifecycle, ca, instance, bundles, peers, control, invites, registration };
}

async function start(options: GatewayOptions, loaded: Loaded, held: AsyncDisposableStack) {
  const { clock, directory, log } = options;
  const { spec } = loaded.set.mesh;
  const core = await openCore(options, loaded.set, held);
  const { lifecycle, ca, control, invites, registration } = core;
  const starting = lifecycle.begin('start');
  const accessLog = held.use(await openAccessLog({ target: accessLogTarget(options, spec.accessLogFile), log }));
  let metrics: Metrics | undefined;
  const sink: CallSink = {
    record: (record) => {
      accessLog.record(record);
      metrics?.record(record);
    },
  };
  const services = held.use(createServicePools(clock));
  held.use(control.snapshots.watch((snapshot) => services.keep(snapshot.exports)));
  const joins = held.use(new JoinServer({ invites, registration, clock, log }));
  const inboundDeps = { snapshots: control.snapshots, services, clock, sink };
  const peering = held.use(
    await startPeering({
      ...core,
      jump: spec.listeners.jump.address,
      linksPerPeer: spec.linksPerPeer,
      onCall: (call, link) => {
        inboundCall(call, link, inboundDeps).catch((error: unknown) => {
          log.error('a call failed in an unforeseen way', { error: messageOf(error), peer: link.peer.name });
          call.abort('internal');
        });
      },
      onJoin: (connection) => joins.serve(connection),
      clock,
      log,
    }),
  );
  lifecycle.register('jump', {
    stopAccepting: () => peering.listener.stopAccepting(),
    drain: (signal) => peering.listener.drain(signal),
    destroy: async () => peering.listener[Symbol.asyncDispose](),
  });
  const bundleListener = held.use(
    await serveBundle({ address: spec.listeners.bundle.address, svid: ca.svid, bundle: () => ca.bundle(), log, clock }),
  );
  const calls = held.use(
    await openCallListeners({
      resources: loaded.set,
      deps: { ...inboundDeps, links: peering.pool },
      svid: ca.svid,
      lifecycle,
      log,
    }),
  );
  const configuration = new Configuration({
    directory,
    first: loaded,
    apply: (set) => apply({ options, control, calls }, set),
    clock,
    log,
  });
  const bound = { jump: peering.listener.address, bundle: bundleListener.address };
  const fixed: ListenerStatus[] = [
    { name: 'jump', kind: 'jump', address: formatAddress(bound.jump), caller: null },
    { name: 'bundle', kind: 'bundle', address: formatAddress(bound.bundle), caller: null },
    ...calls.statuses,
  ];
  const stopped = new AbortController();
  held.defer(() => stopped.abort());
  const operations = gatewayOperations({
    ...core,
    version: packageVersion(),
    startedAtMs: clock.now(),
    configuration,
    peering,
    listeners: () => fixed,
    self: () => meshIdentity(control.resources.mesh.spec, bound, ca.bundle()),
    accessLogDropped: () => accessLog.dropped,
    stopped: stopped.signal,
    clock,
    log,
  });
  metrics = createMetrics({ version: packageVersion(), known: () => knownNames(control), sample: operations.sample });
  const status = held.use(
    await openStatusServer({ address: spec.listeners.status, readiness: lifecycle, metrics, log }),
  );
  fixed.push({ name: 'status', kind: 'status', address: formatAddress(status.address), caller: null });
  const { address, tokenFile } = spec.listeners.admin;
  const admin = held.use(await openAdminServer({ address, tokenFile, operations, log }));
  fixed.push({ name: 'admin', kind: 'admin', address: formatAddress(admin.address), caller: null });
  const reload = (): void => void configuration.reload();
  held.use(await watchDirectory({ directory, onQuiet: reload, clock }));
  starting[Symbol.dispose]();
  log.info('gateway is ready', {
    mesh: loaded.set.mesh.name,
    listeners: fixed.map(({ name, address: at }) => `${name} ${at}`),
  });
  const hangUp = (): void => {
    void accessLog.reopen();
    reload();
  };
  return { operations, hangUp, lifecycle, control };
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

function accessLogTarget(
  { accessLog }: GatewayOptions,
  path: string | undefined,
): Parameters<typeof openAccessLog>[0]['target'] {
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
