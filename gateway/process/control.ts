/** The control side of a gateway: documents, stored peers, bundles and catalogues come in, snapshots go out. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { catalogueConfirmed, type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type PeerBook } from '../../federation/peering/peer-book.ts';
import { type StoredPeer } from '../../federation/resources/stored-peer.ts';
import { type PeerSpec, type ResourceSet, STALE_AFTER_MS } from '../../federation/resources/values.ts';
import { type BundleAge } from '../../federation/snapshot/bundle-age.ts';
import { buildSnapshot, type BuiltSnapshot } from '../../federation/snapshot/build.ts';
import { type Condition } from '../../federation/snapshot/condition.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { compileDistrust } from '../../trust-bundles/distrust/distrust.ts';
import { type DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { readBundleFile } from '../../trust-bundles/source/bundle-file.ts';

/** What control is made of. */
export interface ControlOptions {
  readonly set: ResourceSet;
  readonly identity: IdentitySource;
  readonly bundles: BundleSet;
  readonly peers: PeerBook;
  readonly distrust: DistrustSet;
  /** What peers had announced to the process before this one, by name. */
  readonly catalogues?: ReadonlyMap<string, ImportedCatalogue> | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Owns what snapshots are built from, and builds one after every change. */
export class Control implements Disposable {
  readonly #options: ControlOptions;
  readonly #catalogues: Map<string, ImportedCatalogue>;
  readonly #snapshots: ReplaceableSnapshot;
  readonly #watches: readonly Disposable[];
  #set: ResourceSet;
  #conditions: readonly Condition[];
  #revisit: Disposable | undefined;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#set = options.set;
    this.#catalogues = new Map(options.catalogues);
    const first = this.#build();
    this.#snapshots = new ReplaceableSnapshot(first.snapshot);
    this.#conditions = first.conditions;
    const rebuild = (): void => this.#rebuild();
    const { identity, bundles, peers, distrust } = options;
    this.#watches = [identity, bundles, peers, distrust].map((source) => source.watch(rebuild));
    this.#scheduleRevisit(first.revisitAtMs);
  }

  /** The snapshot in use. */
  get snapshots(): SnapshotSource {
    return this.#snapshots;
  }

  /** The documents in force. */
  get resources(): ResourceSet {
    return this.#set;
  }

  /** What stands in the way of resources. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** What each peer has announced, by name. */
  get catalogues(): ReadonlyMap<string, ImportedCatalogue> {
    return this.#catalogues;
  }

  /** Takes documents into force, whole: adopts stored peers, and takes over the bootstrap bundles that bring something new. */
  async apply(set: ResourceSet): Promise<void> {
    for (const { name, spec } of set.peers) {
      if (spec.bundleFile === undefined) continue;
      const offer = await this.#options.bundles.offer(await readBundleFile(spec.bundleFile, spec.trustDomain));
      // An older file is no fault: the endpoint has told of newer keys since it was written (SPIFFE Federation §5.2.2.4).
      if (offer.kind === 'refused' && offer.code !== 'bundle-rollback') {
        this.#options.log.warn('the bootstrap bundle of a peer is not used', { peer: name, reason: offer.message });
      }
    }
    const previous = this.#set;
    // Before the rows go: a peer that only moves from the store to YAML must be in every snapshot, or its links are cut.
    this.#set = set;
    try {
      await this.#options.peers.adopt(set.peers);
    } catch (error) {
      this.#set = previous;
      throw error;
    }
    this.#rebuild();
  }

  /** A peer has announced its exports. */
  announce(peer: string, catalogue: ImportedCatalogue): void {
    this.#catalogues.set(peer, catalogue);
    this.#rebuild();
  }

  /** A peer has confirmed that what it announced still holds. */
  confirm(peer: string): void {
    const catalogue = this.#catalogues.get(peer);
    if (catalogue === undefined) return;
    this.#catalogues.set(peer, catalogueConfirmed(catalogue, this.#options.clock.now()));
    this.#rebuild();
  }

  /** A peer is gone: what it announced is forgotten. */
  forget(peer: string): void {
    if (this.#catalogues.delete(peer)) this.#rebuild();
  }

  /** Where the bundle of a domain is fetched from; throws `peer-unknown` when no peer has that domain. */
  bundleEndpointOf(trustDomain: TrustDomain): PeerSpec['bundleEndpoint'] {
    const declared = this.#set.peers.find(({ spec }) => spec.trustDomain === trustDomain)?.spec;
    const found = declared ?? this.#options.peers.all().find((peer) => peer.trustDomain === trustDomain);
    if (found !== undefined) return found.bundleEndpoint;
    throw new JumpgateError('peer-unknown', `no peer has trust domain ${trustDomain}`, { source: 'local' });
  }

  /** How long the bundle of a domain may go without being confirmed, and whether it is believed no longer then. */
  staleLimitOf(trustDomain: TrustDomain): { readonly afterMs: number; readonly refuse: boolean } {
    const declared = this.#set.peers.find(({ spec }) => spec.trustDomain === trustDomain)?.spec;
    return declared?.stale ?? { afterMs: STALE_AFTER_MS, refuse: false };
  }

  /** The stored row of a peer. */
  storedPeer(name: string): StoredPeer | undefined {
    return this.#options.peers.all().find((peer) => peer.name === name);
  }

  [Symbol.dispose](): void {
    this.#revisit?.[Symbol.dispose]();
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  #rebuild(): void {
    const built = this.#build(this.#snapshots.current());
    this.#conditions = built.conditions;
    this.#scheduleRevisit(built.revisitAtMs);
    this.#snapshots.replace(built.snapshot);
  }

  #build(previous?: ReturnType<SnapshotSource['current']>): BuiltSnapshot {
    const { bundles, clock, identity, peers } = this.#options;
    const own = identity.bundle();
    const { tainted, ...distrust } = compileDistrust(this.#options.distrust.entries());
    return buildSnapshot({
      set: this.#set,
      storedPeers: peers.all(),
      bundles: new Map<TrustDomain, Bundle>([
        ...bundles.all(),
        ...(own === undefined ? [] : [[own.trustDomain, own] as const]),
      ]),
      bundleAges: this.#bundleAges(),
      tainted,
      distrust,
      catalogues: this.#catalogues,
      nowMs: clock.now(),
      ...(previous === undefined ? {} : { previous }),
    });
  }

  /** Of every peer's domain, by its document; a joined peer without one has the default limit. */
  #bundleAges(): ReadonlyMap<TrustDomain, BundleAge> {
    const { bundles } = this.#options;
    return new Map(
      [...bundles.all().keys()].map((domain) => {
        const { afterMs, refuse } = this.staleLimitOf(domain);
        return [domain, { refreshedAtMs: bundles.refreshedAtMs(domain) ?? 0, staleAfterMs: afterMs, refuse }];
      }),
    );
  }

  #scheduleRevisit(atMs: number | undefined): void {
    this.#revisit?.[Symbol.dispose]();
    this.#revisit = undefined;
    if (atMs === undefined) return;
    const { clock, log } = this.#options;
    this.#revisit = clock.after(Math.max(0, atMs - clock.now()), () => {
      try {
        this.#rebuild();
      } catch (error) {
        log.error('the snapshot could not be rebuilt', { error: messageOf(error) });
      }
    });
  }
}
