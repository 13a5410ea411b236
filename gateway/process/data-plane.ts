/** The data side of a gateway: links, calls and where they are recorded. It judges by snapshots, and holds no key but its SVID's. */
import { randomInt } from 'node:crypto';

import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type BindServer } from '../../base/net/bind-server.ts';
import { type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { type Snapshot, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { type Divert } from '../../trust-bundles/tls/accept.ts';
import { type StrangerConnection } from '../../trust-bundles/tls/connection.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type LinkStatus } from '../admin/operations.ts';
import { type CallHost } from '../forward/call-host.ts';
import { Deadlines } from '../forward/deadlines.ts';
import { LiveCalls } from '../forward/live-calls.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { PolicyReview } from '../forward/policy-review.ts';
import { Views } from '../forward/view.ts';
import { InboundCalls, type InboundLink } from '../inbound/calls.ts';
import { listenForLinks, type LinkListener } from '../link/accept.ts';
import { LinkDialer } from '../link/dial.ts';
import { LINK_VERSIONS, type Hello } from '../link/hello.ts';
import { REPROVE_FEATURE } from '../link/link-proof.ts';
import { openPeeringBridge } from '../link/peering-bridge.ts';
import { splitByServerName } from '../listen/server-name-split.ts';
import { LinkPool } from '../link/pool.ts';
import { BufferPool } from '../message/output.ts';
import { BackendTls } from '../routing/backend-tls.ts';
import { createServicePools } from '../routing/service-pool.ts';
import { linkHttp2 } from '../socket/connection-limits.ts';
import { TunnelCalls } from '../tcp/tunnel-calls.ts';
import { type AccessLogLines, openAccessLogLines } from '../telemetry/access-log-lines.ts';
import { CallCounters } from '../telemetry/call-counters.ts';
import { CallSinks } from '../telemetry/call-sinks.ts';
import { type KnownNames } from '../telemetry/closed-labels.ts';
import { type LineTarget } from '../telemetry/line-log.ts';
import { createCallBudgets } from './call-budgets.ts';
import { collectAlone, collectYoung } from './garbage.ts';
import { type Lifecycle } from './lifecycle.ts';
import { type CallListeners, type CallListenSpecs, openCallListeners } from './listeners.ts';

const RANDOM_STEPS = 2 ** 32;

/** What the data side is made of. */
export interface DataPlaneOptions {
  readonly snapshots: SnapshotSource;
  readonly svid: SvidSource;
  /** Who we are to peers. */
  readonly self: Pick<Hello, 'instance' | 'epoch' | 'worker' | 'workers'>;
  readonly linksPerPeer: number;
  readonly jump: BindAddress;
  /** Server name of the bundle endpoint where it shares the jump port. */
  readonly bundleServerName?: string | undefined;
  readonly calls: CallListenSpecs;
  /** How the listener of a name is bound; default is to listen. */
  readonly bindOf?: (name: string) => BindServer;
  /** Where control streams cross to grpc-js and back. */
  readonly runtime: Pick<RuntimePaths, 'serverSocket' | 'clientSocket' | 'bundleSocket' | 'token'>;
  /** Serves whoever redeems an invite. */
  readonly onJoin: (connection: StrangerConnection) => void;
  /** The links that calls take; default those of the pool. */
  readonly linksOver?: (pool: LinkPool) => PeerLinks;
  readonly accessLog: LineTarget;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A running data side. */
export interface DataPlane extends AsyncDisposable {
  readonly pool: LinkPool;
  readonly dialer: LinkDialer;
  readonly jump: LinkListener;
  readonly calls: CallListeners;
  readonly accessLog: AccessLogLines;
  readonly counters: CallCounters;
  /** All links, as status shows them. */
  links(): readonly LinkStatus[];
}

/** Opens it, or throws what the first listener that cannot be bound throws. */
export async function openDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  const { snapshots, svid, runtime, clock, log } = options;
  await using held = new AsyncDisposableStack();
  collectAlone();
  const buffers = new BufferPool(collectYoung);
  const { accessLog, counters, host } = await openRecords(options, held);
  const { limits } = snapshots.current();
  const views = new Views(snapshots);
  held.use(new PolicyReview({ snapshots, views, live: host.live, clock, log }));
  const tls = held.use(new BackendTls({ snapshots, svid, clock, log }));
  const services = held.use(createServicePools({ limits, tls, clock, buffers }));
  const follow = snapshots.watch((snapshot) => {
    services.keep(snapshot.exports);
    counters.namesChanged();
  });
  held.use(follow);
  held.use(svid.watch(() => services.keep(snapshots.current().exports)));
  const tunnels = held.use(new TunnelCalls(host, snapshots, tls));
  const deps = { views, services, host, tunnels };
  const pool = new LinkPool();
  const bridge = held.use(await openPeeringBridge({ runtime, pool, limits: linkHttp2(limits), clock, log }));
  const hello = helloOf(options);
  const jump = held.use(
    await listenForLinks({
      address: options.jump,
      bind: options.bindOf?.('jump'),
      divert: divertOf(options),
      svid,
      snapshot: snapshots,
      hello,
      callsFor: (link: InboundLink) => new InboundCalls(deps, link),
      peeringFor: (link) => bridge.peeringFor(link),
      onJoin: options.onJoin,
      bundleDocument: () => ownBundle(snapshots.current()),
      buffers,
      clock,
      log,
    }),
  );
  options.lifecycle.register('jump', {
    stopAccepting: () => jump.stopAccepting(),
    drain: (signal) => jump.drain(signal),
    destroy: async () => jump[Symbol.asyncDispose](),
  });
  const { linksPerPeer } = options;
  const dialler = { snapshot: snapshots, svid, pool, hello, buffers, linksPerPeer, clock, log, random };
  const dialer = held.use(new LinkDialer(dialler));
  // A peer that has just come back dials us: our own links need not wait for the next attempt.
  held.use(jump.watch((peer) => dialer.wake(peer)));
  const callDeps = { ...deps, links: options.linksOver?.(pool) ?? pool };
  const listening = { ...options, specs: options.calls, deps: callDeps, host: { clock, buffers } };
  const calls = held.use(await openCallListeners(listening));
  const kept = held.move();
  const links = (): readonly LinkStatus[] => linksOf(pool, jump);
  return { pool, dialer, jump, calls, accessLog, counters, links, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface Records {
  readonly accessLog: AccessLogLines;
  readonly counters: CallCounters;
  readonly host: CallHost;
}

async function openRecords(options: DataPlaneOptions, held: AsyncDisposableStack): Promise<Records> {
  const { snapshots, clock, log } = options;
  const accessLog = held.use(await openAccessLogLines({ target: options.accessLog, clock, log }));
  const counters = new CallCounters({ known: () => knownNames(snapshots.current()) });
  const sink = new CallSinks([accessLog, counters]);
  const live = new LiveCalls();
  const budgets = held.use(createCallBudgets({ snapshots, live, log }));
  const host = { clock, deadlines: held.use(new Deadlines(clock)), live, budgets, sink };
  return { accessLog, counters, host };
}

function divertOf({ bundleServerName, runtime, clock }: DataPlaneOptions): Divert | undefined {
  if (bundleServerName === undefined) return undefined;
  return splitByServerName({ serverName: bundleServerName, socketPath: runtime.bundleSocket, clock });
}

function helloOf({ snapshots, self }: DataPlaneOptions): Hello {
  return {
    versions: LINK_VERSIONS,
    trustDomain: snapshots.current().trustDomain,
    ...self,
    features: [REPROVE_FEATURE],
  };
}

/** Every snapshot holds the bundle of our own trust domain. */
function ownBundle({ bundles, trustDomain }: Snapshot): string {
  const own = bundles.get(trustDomain);
  return own === undefined ? '' : writeBundleDocument(own);
}

function knownNames({ exports, imports, peers }: Snapshot): KnownNames {
  return {
    peers: new Set(peers.keys()),
    exports: new Set([...exports.keys(), ...[...imports.values()].map((item) => item.export)]),
  };
}

function linksOf(pool: LinkPool, listener: LinkListener): readonly LinkStatus[] {
  const toTime = (ms: number): string => new Date(ms).toISOString();
  const dialled = pool.all().map((link) => ({
    peer: link.peer,
    direction: 'outbound' as const,
    instance: link.instance,
    address: link.address,
    state: link.leaving ? 'draining' : 'up',
    since: toTime(link.sinceMs),
    expiresAt: toTime(link.term.endsAtMs),
    reproves: link.reproves,
    calls: link.streams,
  }));
  const accepted = listener.links().map((link) => ({
    peer: link.peer.name,
    direction: 'inbound' as const,
    instance: link.instance,
    address: link.remoteAddress,
    state: 'up',
    since: toTime(link.sinceMs),
    expiresAt: toTime(link.term.endsAtMs),
    reproves: link.reproves,
    calls: link.calls,
  }));
  return [...dialled, ...accepted];
}

/** In [0, 1), to spread what would otherwise happen everywhere at once. */
function random(): number {
  return randomInt(RANDOM_STEPS) / RANDOM_STEPS;
}
