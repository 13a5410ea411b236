/** Wires the control side of peering together: control streams, bundle polling, and what each tells the others. */
import { randomInt } from 'node:crypto';

import { type Clock, sleep } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { exportedTo } from '../../federation/catalogue/exported.ts';
import { type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { servePeering } from '../../federation/peering/server.ts';
import { type BundleSequences } from '../../federation/peering/session.ts';
import { PeeringSupervisor } from '../../federation/peering/supervisor.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { BundlePoll, type FetchBundle } from '../../trust-bundles/source/bundle-poll.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { refreshDelayMs } from '../../trust-bundles/source/refresh.ts';
import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';
import { bundleFetch } from './bundle-fetch.ts';
import { type Control } from './control.ts';
import { type DataSide } from './data-side.ts';
import { type Lifecycle } from './lifecycle.ts';
import { Rotation } from '../operations/rotation.ts';
import { type Instance } from './state.ts';

/** An active peering confirms its catalogue this often, three times within the stale limit. */
const CONFIRM_EVERY_MS = 2_000;
const RANDOM_STEPS = 2 ** 32;

/** What peering is made of. */
export interface PeeringOptions {
  readonly control: Control;
  readonly ca: EmbeddedCa | undefined;
  readonly bundles: BundleSet;
  readonly instance: Instance;
  readonly data: DataSide;
  /** Where control streams cross to the engine and back. */
  readonly runtime: Pick<RuntimePaths, 'serverSocket' | 'token'>;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Running peering. */
export interface Peering extends AsyncDisposable {
  readonly poll: BundlePoll;
  /** Fetches a peer's bundle now, and changes nothing. */
  readonly fetch: FetchBundle;
  readonly supervisor: PeeringSupervisor;
  /** `undefined` where our roots are not ours to rotate. */
  readonly rotation: Rotation | undefined;
}

/** Starts everything that speaks to peers but their links. Throws `listen-failed`. */
export async function startPeering(options: PeeringOptions): Promise<Peering> {
  const { ca, clock, control, data, instance, log, runtime } = options;
  await using held = new AsyncDisposableStack();
  const fetch = fetchOf(options);
  const poll = held.use(openPoll(options, fetch));
  const { trustDomain } = control.snapshots.current();
  const supervisor: PeeringSupervisor = held.use(
    new PeeringSupervisor({
      self: { trustDomain, instance: instance.id, epoch: instance.epoch },
      clock,
      log,
      open: (peer, other) => data.open(peer, other),
      instancesOf: (peer) => data.instancesOf(peer),
      exportsFor: (peer) => exportsFor(control.snapshots.current(), peer),
      bundlesOf: (peer) => bundlesOf(control.snapshots.current(), peer),
      onCatalogue: (peer, catalogue) => control.announce(peer, catalogue),
      onBundleNudge: (peer) => nudge(control.snapshots.current(), peer, poll),
      onTerminated: (peer, tombstone) => log.warn('the peer has removed this mesh', { peer, tombstone }),
      onStatus: () => void rotation?.peersChanged(),
    }),
  );
  const rotation =
    ca &&
    new Rotation({
      ca,
      snapshots: control.snapshots,
      peering: (peer) => supervisor.status(peer),
      endpointOf: (domain) => control.bundleEndpointOf(domain),
      clock,
      log,
    });
  held.use(
    await servePeering({
      socketPath: runtime.serverSocket,
      token: runtime.token,
      onStream: (peer, other, stream) => supervisor.accept(peer, other, stream),
    }),
  );
  held.use(followSnapshots({ options, poll, supervisor, rotation }));
  options.lifecycle.register('peering', {
    // A control stream is no call: it ends after the links have said GOAWAY, so that a link without calls closes at once.
    stopAccepting: () => new Promise((resolve) => setImmediate(resolve)),
    drain: () => supervisor[Symbol.asyncDispose](),
    destroy: () => undefined,
  });
  const kept = held.move();
  return { poll, fetch, supervisor, rotation, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface Followers {
  readonly options: PeeringOptions;
  readonly poll: BundlePoll;
  readonly supervisor: PeeringSupervisor;
  readonly rotation: Rotation | undefined;
}

/** Tells each part of what the others changed, until disposed of. */
function followSnapshots(followers: Followers): AsyncDisposable {
  const { options, poll, supervisor, rotation } = followers;
  const { clock, control, data, log } = options;
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
  lifetime.use(data.watchLinks(() => supervisor.instancesChanged()));
  lifetime.run('catalogue confirmation', async (signal) => {
    while (!signal.aborted) {
      await sleep(clock, CONFIRM_EVERY_MS, signal);
      for (const name of control.snapshots.current().peers.keys()) {
        if (supervisor.status(name)?.state === 'active') control.confirm(name);
      }
      await rotation?.peersChanged();
    }
  });
  follow(control.snapshots.current());
  return lifetime;
}

function openPoll({ bundles, clock, log }: PeeringOptions, fetch: FetchBundle): BundlePoll {
  return new BundlePoll({ set: bundles, fetch, intervalMs: (hint) => refreshDelayMs(hint, random()), clock, log });
}

function fetchOf(options: PeeringOptions): FetchBundle {
  const { bundles, clock, control, data } = options;
  const endpointOf = (trustDomain: TrustDomain): ReturnType<Control['bundleEndpointOf']> =>
    control.bundleEndpointOf(trustDomain);
  const trust = (): TrustStore => {
    const { bundles: believed, peers, tainted } = control.snapshots.current();
    // A stale bundle that calls no longer believe still says who may bring the next one (SPIFFE Federation §5.2.2.4).
    const theirs = [...peers.values()].flatMap(({ trustDomain }) => bundles.get(trustDomain) ?? []);
    return {
      bundles: new Map([...believed, ...theirs.map((bundle) => [bundle.trustDomain, bundle] as const)]),
      tainted,
    };
  };
  return bundleFetch({ endpointOf, trust, snapshots: control.snapshots, data, clock });
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
