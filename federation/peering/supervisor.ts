/** Keeps one control stream per instance of every peer: opens where it is ours to open, fences, reconnects, and tells of what comes in. */
import { sleep, type Clock } from '../../base/clock.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type ImportedCatalogue } from '../catalogue/imported.ts';
import { type CatalogueEntry } from '../catalogue/service.ts';
import { backoffMs, type BackoffOptions } from '../../base/backoff.ts';
import { type FrameStream } from './frame-stream.ts';
import { type HeldCatalogue } from './importing.ts';
import { RunningSession } from './receive.ts';
import {
  SESSION_TIMING,
  type BundleSequences,
  type SessionEnd,
  type SessionParty,
  type SessionTiming,
} from './session.ts';
import { bestStatus, NO_STREAM, statusOf, type PeeringStatus } from './status.ts';
import { NOTHING_COUNTED, Tally, type TallyCounts } from './tally.ts';

/** Full jitter up to 10 s: a peer that came back is found soon, a peer that is away costs next to nothing. */
const RECONNECT: BackoffOptions = { minMs: 100, maxMs: 10_000 };

/** Streams of one peer at once: more replicas than anybody runs, and those being fenced. */
const STREAMS_PER_PEER_MAX = 64;

/** A registered peer. */
export interface SupervisedPeer {
  readonly name: string;
  readonly trustDomain: TrustDomain;
}

/** What the supervisor asks of the rest of the gateway. */
export interface SupervisorOptions {
  readonly self: SessionParty;
  readonly clock: Clock;
  readonly log: Logger;
  /** Starts a stream to one instance; see `PeeringClient.open`. */
  readonly open: (peer: string, instance: string) => FrameStream;
  /** Instances of the peer that a link of ours reaches now. */
  readonly instancesOf: (peer: string) => readonly string[];
  readonly exportsFor: (peer: string) => readonly CatalogueEntry[];
  readonly bundlesOf: (peer: string) => BundleSequences;
  readonly onCatalogue: (peer: string, catalogue: ImportedCatalogue) => void | Promise<void>;
  /** Fetch this peer's bundle from its configured endpoint. Called as often as the peer nudges: throttling is the fetcher's. */
  readonly onBundleNudge: (peer: string) => void;
  readonly onTerminated: (peer: string, tombstone: string) => void;
  readonly onStatus?: (peer: string, status: PeeringStatus) => void;
  readonly timing?: SessionTiming;
  readonly reconnect?: BackoffOptions;
  readonly random?: () => number;
}

interface Stream {
  readonly instance: string;
  readonly running: RunningSession;
  /** Resolves when the session has ended and what it had to say is written. */
  readonly ended: PromiseWithResolvers<undefined>;
}

interface Supervised {
  readonly peer: SupervisedPeer;
  /** Ends the dialling loops of this peer. */
  readonly removed: AbortController;
  readonly streams: Set<Stream>;
  /** Instances that a loop of ours dials. */
  readonly dialled: Set<string>;
  held: HeldCatalogue | undefined;
  lastEnd: SessionEnd | undefined;
  /** Streams that have ended, by code. */
  readonly ends: Map<SessionEnd['code'], number>;
  readonly tally: Tally;
  terminatedBy: string | undefined;
  /** Since it removed us, all links to it have gone. */
  cutOff: boolean;
}

/** See the head of this file. */
export class PeeringSupervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #lifetime: Lifetime;
  readonly #peers = new Map<string, Supervised>();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#lifetime = new Lifetime((task, error) => options.log.error('peering task failed', { task, error }));
  }

  /** Replaces the set of peers. One that is gone is told `terminated`, and its streams end. */
  setPeers(peers: readonly SupervisedPeer[], tombstoneOf: (name: string) => string = (name) => name): void {
    const wanted = new Map(peers.map((peer) => [peer.name, peer]));
    for (const [name, supervised] of [...this.#peers]) {
      if (wanted.get(name)?.trustDomain === supervised.peer.trustDomain) continue;
      this.#peers.delete(name);
      supervised.removed.abort();
      for (const { running } of supervised.streams)
        running.dispatch({ kind: 'terminate', tombstone: tombstoneOf(name) });
    }
    for (const peer of peers) if (!this.#peers.has(peer.name)) this.#peers.set(peer.name, fresh(peer));
    this.instancesChanged();
  }

  /** Links came or went: opens streams to instances that have none. */
  instancesChanged(): void {
    for (const supervised of this.#peers.values()) {
      const { name, trustDomain } = supervised.peer;
      this.#readmit(supervised, this.#options.instancesOf(name).length > 0);
      if (this.#options.self.trustDomain >= trustDomain || supervised.terminatedBy !== undefined) continue;
      for (const instance of this.#options.instancesOf(name)) this.#dial(supervised, instance);
    }
  }

  /** Exports may have changed, for every peer or one: whoever sees a difference is told of it. */
  exportsChanged(peer?: string): void {
    this.#each(peer, (name, running) => running.dispatch({ kind: 'exports', entries: this.#options.exportsFor(name) }));
  }

  /** A bundle has changed, ours or that of `peer`. */
  bundlesChanged(peer?: string): void {
    this.#each(peer, (name, running) => running.dispatch({ kind: 'bundles', bundles: this.#options.bundlesOf(name) }));
  }

  /** A stream that a peer opened to us. */
  accept(peer: string, instance: string, stream: FrameStream): void {
    const supervised = this.#peers.get(peer);
    const over = this.#lifetime.signal.aborted;
    if (over || supervised === undefined || supervised.streams.size >= STREAMS_PER_PEER_MAX) {
      stream.destroy();
      return;
    }
    supervised.terminatedBy = undefined;
    this.#lifetime.run(`control stream of ${peer}`, async (signal) => {
      await this.#run(supervised, { instance, stream }, signal);
    });
  }

  /** Tells a peer that it is none any more, before the links that could tell it are cut; resolves when that is written. */
  async dismiss(name: string, tombstone = name): Promise<void> {
    const streams = [...(this.#peers.get(name)?.streams ?? [])];
    for (const { running } of streams) running.dispatch({ kind: 'terminate', tombstone });
    await Promise.all(streams.map(({ ended }) => ended.promise));
  }

  /** How many control streams of a peer have ended, by code: each but a dismissal is one to be opened again. */
  ends(name: string): ReadonlyMap<string, number> {
    return this.#peers.get(name)?.ends ?? new Map<string, number>();
  }

  /** What has been replicated with a peer since it was registered. */
  counts(name: string): TallyCounts {
    return this.#peers.get(name)?.tally ?? NOTHING_COUNTED;
  }

  /** The state of one peering; `undefined` for a peer that is not registered. */
  status(peer: string): PeeringStatus | undefined {
    const supervised = this.#peers.get(peer);
    if (supervised === undefined) return undefined;
    const nowMs = this.#options.clock.monotonic();
    const best = bestStatus([...supervised.streams].map(({ running }) => statusOf(running.session, nowMs)));
    if (best !== undefined) return best;
    return {
      ...NO_STREAM,
      state: supervised.terminatedBy === undefined ? 'connecting' : 'terminated',
      lastEnd: supervised.lastEnd,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lifetime[Symbol.asyncDispose]();
  }

  /** A link that comes up after the old ones were cut, or a stream that the peer opens, means that it has us again. */
  #readmit(supervised: Supervised, linked: boolean): void {
    if (supervised.terminatedBy === undefined) return;
    if (linked && supervised.cutOff) supervised.terminatedBy = undefined;
    supervised.cutOff = !linked;
  }

  #each(only: string | undefined, action: (name: string, running: RunningSession) => void): void {
    for (const [name, { streams }] of this.#peers) {
      if (only !== undefined && only !== name) continue;
      for (const { running } of [...streams]) action(name, running);
    }
  }

  #dial(supervised: Supervised, instance: string): void {
    if (supervised.dialled.has(instance)) return;
    supervised.dialled.add(instance);
    const { name } = supervised.peer;
    this.#lifetime.run(`control stream to ${name}`, async (stopped) => {
      const signal = AbortSignal.any([stopped, supervised.removed.signal]);
      try {
        await this.#keepOpen(supervised, instance, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        supervised.dialled.delete(instance);
      }
    });
  }

  /** Opens again and again until no link reaches the instance any more, or the peer has removed us. */
  async #keepOpen(supervised: Supervised, instance: string, signal: AbortSignal): Promise<void> {
    const { name } = supervised.peer;
    let failures = 0;
    while (!signal.aborted && this.#options.instancesOf(name).includes(instance)) {
      const stream = this.#options.open(name, instance);
      const wasActive = await this.#run(supervised, { instance, stream }, signal);
      if (supervised.terminatedBy !== undefined) return;
      failures = wasActive ? 0 : failures + 1;
      const delayMs = backoffMs(failures, this.#options.reconnect ?? RECONNECT, this.#options.random ?? Math.random);
      await sleep(this.#options.clock, delayMs, signal);
    }
  }

  /** Runs one stream to its end; whether it ever got active. */
  async #run(
    supervised: Supervised,
    opened: { instance: string; stream: FrameStream },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { self, clock, timing, exportsFor, bundlesOf, onBundleNudge, log } = this.#options;
    const { name, trustDomain } = supervised.peer;
    const { instance, stream } = opened;
    let wasActive = false;
    const running = new RunningSession({
      stream,
      clock,
      start: {
        self,
        expected: { trustDomain, instance },
        timing: timing ?? SESSION_TIMING,
        entries: exportsFor(name),
        held: supervised.held,
        bundles: bundlesOf(name),
      },
      listener: {
        opened: (epoch) => this.#fence(supervised, mine, epoch),
        apply: async (received) => {
          if (this.#peers.get(name) !== supervised) return;
          await this.#options.onCatalogue(name, received.catalogue);
          supervised.held = received;
        },
        fetchBundle: () => onBundleNudge(name),
        terminated: (tombstone) => {
          supervised.terminatedBy = tombstone;
          this.#options.onTerminated(name, tombstone);
        },
        received: (frame) => supervised.tally.received(frame),
        sent: (frame) => supervised.tally.sent(frame),
        phase: (session) => {
          wasActive ||= session.phase === 'active';
          this.#tell(name);
        },
      },
    });
    const mine: Stream = { instance, running, ended: Promise.withResolvers<undefined>() };
    supervised.streams.add(mine);
    const end = await running.run(signal);
    supervised.streams.delete(mine);
    supervised.lastEnd = end;
    supervised.ends.set(end.code, (supervised.ends.get(end.code) ?? 0) + 1);
    mine.ended.resolve(undefined);
    log.info('control stream ended', { peer: name, instance, code: end.code, reason: end.message });
    this.#tell(name);
    return wasActive;
  }

  /** Among streams of one instance the newest boot counter wins, and among equals the newest stream. */
  #fence(supervised: Supervised, mine: Stream, epoch: bigint): void {
    const end: SessionEnd = { code: 'fenced', message: 'a newer stream of the same instance has opened' };
    for (const other of [...supervised.streams]) {
      if (other === mine || other.instance !== mine.instance) continue;
      const otherEpoch = other.running.session.peerEpoch;
      if (otherEpoch === undefined) continue;
      if (otherEpoch > epoch) {
        mine.running.dispatch({ kind: 'stop', end });
        return;
      }
      other.running.dispatch({ kind: 'stop', end });
    }
  }

  #tell(peer: string): void {
    const status = this.status(peer);
    if (status !== undefined) this.#options.onStatus?.(peer, status);
  }
}

function fresh(peer: SupervisedPeer): Supervised {
  return {
    peer,
    removed: new AbortController(),
    streams: new Set(),
    dialled: new Set(),
    held: undefined,
    lastEnd: undefined,
    ends: new Map(),
    tally: new Tally(),
    terminatedBy: undefined,
    cutOff: false,
  };
}
