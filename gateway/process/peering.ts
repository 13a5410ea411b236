/** Wires peering together: links, control streams, bundle polling, and what each tells the others. */
import { randomInt } from 'node:crypto';

import { type Clock, sleep } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { exportedTo } from '../../federation/catalogue/exported.ts';
import { createPeeringClient } from '../../federation/peering/client.ts';
import { createRuntimeDirectory } from '../../federation/peering/runtime-directory.ts';
import { servePeering } from '../../federation/peering/server.ts';
import { type BundleSequences } from '../../federation/peering/session.ts';
import { PeeringSupervisor } from '../../federation/peering/supervisor.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { BundlePoll } from '../../trust-bundles/source/bundle-poll.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { refreshDelayMs } from '../../trust-bundles/source/refresh.ts';
import { type StrangerConnection } from '../../trust-bundles/tls/connection.ts';
import { listenForLinks, type LinkListener } from '../link/accept.ts';
import { type AcceptedLink } from '../link/accepted-link.ts';
import { LinkDialer } from '../link/dial.ts';
import { LINK_VERSIONS, type Hello } from '../link/hello.ts';
import { openPeeringBridge } from '../link/peering-bridge.ts';
import { LinkPool } from '../link/pool.ts';
import { type BufferPool } from '../message/output.ts';
import { type RequestListener } from '../message/stream.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { bundleFetch } from './bundle-fetch.ts';
import { type Control } from './control.ts';
import { Rotation } from '../operations/rotation.ts';
import { type Instance } from './state.ts';

/** An active peering confirms its catalogue this often, three times within the stale limit. */
const CONFIRM_EVERY_MS = 2_000;
const RANDOM_STEPS = 2 ** 32;

/** What peering is made of. */
export interface PeeringOptions {
  readonly control: Control;
  readonly ca: EmbeddedCa;
  readonly bundles: BundleSet;
  readonly instance: Instance;
  readonly jump: BindAddress;
  readonly linksPerPeer: number;
  /** Who takes the calls of a link; asked once for each. */
  readonly callsFor: (link: AcceptedLink) => RequestListener;
  readonly onJoin: (connection: StrangerConnection) => void;
  /** Output of links. */
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Running peering. */
export interface Peering extends AsyncDisposable {
  readonly listener: LinkListener;
  readonly pool: LinkPool;
  readonly dialer: LinkDialer;
  readonly poll: BundlePoll;
  readonly supervisor: PeeringSupervisor;
  readonly rotation: Rotation;
}

/** Starts everything that speaks to peers. Throws what the listeners throw. */
export async function startPeering(options: PeeringOptions): Promise<Peering> {
  const { buffers, ca, clock, control, log } = options;
  await using held = new AsyncDisposableStack();
  const pool = new LinkPool();
  const runtime = held.use(await createRuntimeDirectory());
  const bridge = held.use(await openPeeringBridge({ runtime, pool, clock, log }));
  const client = held.use(createPeeringClient({ socketPath: runtime.clientSocket, token: runtime.token }));
  const hello = helloOf(options);
  const poll = held.use(openPoll(options, pool));
  const supervisor: PeeringSupervisor = held.use(
    new PeeringSupervisor({
      self: { trustDomain: hello.trustDomain, instance: hello.instance, epoch: hello.epoch },
      clock,
      log,
      open: (peer, instance) => client.open(peer, instance),
      instancesOf: (peer) => pool.instancesOf(peer),
      exportsFor: (peer) => exportsFor(control.snapshots.current(), peer),
      bundlesOf: (peer) => bundlesOf(control.snapshots.current(), peer),
      onCatalogue: (peer, catalogue) => control.announce(peer, catalogue),
      onBundleNudge: (peer) => nudge(control.snapshots.current(), peer, poll),
      onTerminated: (peer, tombstone) => log.warn('the peer has removed this mesh', { peer, tombstone }),
      onStatus: () => void rotation.peersChanged(),
    }),
  );
  const rotation = new Rotation({ ca, snapshots: control.snapshots, peering: (peer) => supervisor.status(peer), log });
  held.use(
    await servePeering({
      socketPath: runtime.serverSocket,
      token: runtime.token,
      onStream: (peer, instance, stream) => supervisor.accept(peer, instance, stream),
    }),
  );
  const listener = held.use(
    await listenForLinks({
      address: options.jump,
      svid: ca.svid,
      snapshot: control.snapshots,
      hello,
      callsFor: options.callsFor,
      peeringFor: (link) => bridge.peeringFor(link),
      onJoin: options.onJoin,
      bundleDocument: () => writeBundleDocument(ca.bundle()),
      buffers,
      clock,
      log,
    }),
  );
  const { linksPerPeer } = options;
  const made = { snapshot: control.snapshots, svid: ca.svid, pool, hello, buffers };
  const dialer = held.use(new LinkDialer({ ...made, linksPerPeer, clock, log, random }));
  held.use(followSnapshots({ options, pool, poll, supervisor, rotation }));
  const kept = held.move();
  return {
    listener: { ...listener, drain: (signal) => drain(listener, supervisor, signal) },
    pool,
    dialer,
    poll,
    supervisor,
    rotation,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A control stream is no call: it ends after the links have said GOAWAY, so that a link without calls closes at once. */
async function drain(listener: LinkListener, supervisor: PeeringSupervisor, signal: AbortSignal): Promise<void> {
  const drained = listener.drain(signal);
  await supervisor[Symbol.asyncDispose]();
  await drained;
}

interface Followers {
  readonly options: PeeringOptions;
  readonly pool: LinkPool;
  readonly poll: BundlePoll;
  readonly supervisor: PeeringSupervisor;
  readonly rotation: Rotation;
}

/** Tells each part of what the others changed, until disposed of. */
function followSnapshots(followers: Followers): AsyncDisposable {
  const { options, pool, poll, supervisor, rotation } = followers;
  const { clock, control, log } = options;
  const lifetime = new Lifetime((task, error) => log.error('peering task failed', { task, error: messageOf(error) }));
  const follow = (snapshot: Snapshot): void => {
    const peers = [...snapshot.peers.values()];
    supervisor.setPeers(peers);
    supervisor.exportsChanged();
    supervisor.bundlesChanged();
    lifetime.run('bundle polling', () => poll.follow(new Set(peers.map(({ trustDomain }) => trustDomain))));
    for (const name of control.catalogues.keys()) if (!snapshot.peers.has(name)) control.forget(name);
  };
  lifetime.use(control.snapshots.watch(follow));
  lifetime.use(pool.watch(() => supervisor.instancesChanged()));
  lifetime.run('catalogue confirmation', async (signal) => {
    while (!signal.aborted) {
      await sleep(clock, CONFIRM_EVERY_MS, signal);
      for (const name of control.snapshots.current().peers.keys()) {
        if (supervisor.status(name)?.state === 'active') control.confirm(name);
      }
      await rotation.peersChanged();
    }
  });
  follow(control.snapshots.current());
  return lifetime;
}

function helloOf({ control, instance }: PeeringOptions): Hello {
  const { trustDomain } = control.snapshots.current();
  return {
    versions: LINK_VERSIONS,
    trustDomain,
    instance: instance.id,
    epoch: instance.epoch,
    worker: 0,
    workers: 1,
    features: [],
  };
}

function openPoll(options: PeeringOptions, pool: LinkPool): BundlePoll {
  const { bundles, clock, control, log } = options;
  const endpointOf = (trustDomain: TrustDomain): ReturnType<Control['bundleEndpointOf']> =>
    control.bundleEndpointOf(trustDomain);
  const fetch = bundleFetch({ endpointOf, snapshots: control.snapshots, links: pool, clock });
  return new BundlePoll({ set: bundles, fetch, intervalMs: (hint) => refreshDelayMs(hint, random()), clock, log });
}

function exportsFor(snapshot: Snapshot, name: string): ReturnType<typeof exportedTo> {
  const peer = snapshot.peers.get(name);
  return peer === undefined ? [] : exportedTo(snapshot.exports.values(), peer);
}

function bundlesOf(snapshot: Snapshot, name: string): BundleSequences {
  const peer = snapshot.peers.get(name);
  return {
    ours: snapshot.bundles.get(snapshot.trustDomain)?.sequence,
    theirs: peer && snapshot.bundles.get(peer.trustDomain)?.sequence,
  };
}

function nudge(snapshot: Snapshot, name: string, poll: BundlePoll): void {
  const peer = snapshot.peers.get(name);
  if (peer !== undefined) poll.nudge(peer.trustDomain);
}

/** In [0, 1), to spread what would otherwise happen everywhere at once. */
function random(): number {
  return randomInt(RANDOM_STEPS) / RANDOM_STEPS;
}
