/** The bundles of the peers' trust domains: kept in the store, one row per domain, never rolled back, never merged. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Row, type Store } from '../../base/store/store.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { mergeBundle, sharedAuthority } from '../bundle/merge.ts';
import { type Turnover, turnoverOf } from '../bundle/turnover.ts';
import { tryTrustDomain, type TrustDomain } from '../identity/trust-domain.ts';
import { type HeldBundle, isOlder, newerOf, readBundleRow, writeBundleRow } from './bundle-row.ts';

const ROW_PREFIX = 'bundles/';

/** How often a lost race for a row is run again before it is called a fault. */
const ATTEMPTS_MAX = 8;
/** How much older than the truth a stored time of refresh may be: an unchanged bundle costs one write in this time. */
const REFRESH_KNOWN_MS = 10 * 60 * 1000;

/** What is remembered of an offer that was refused, until a better one comes. */
export interface RefusedOffer {
  readonly bundle: Bundle;
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
}

/** A change of most roots at once, and which bundle made it. */
export interface SeenTurnover extends Turnover {
  readonly sequence: bigint | undefined;
  readonly atMs: number;
}

/** How an offered bundle came here. */
export interface OfferTerms {
  /** An operator's word that the domain starts anew: order by sequence no longer counts. Default false. */
  readonly replace?: boolean;
  /** It was obtained now, so that one that says nothing new counts as fresh again. Default false. */
  readonly fetched?: boolean;
  /** Nothing is believed that the store has not taken: throws `store-unavailable` while it is away. Default false. */
  readonly durable?: boolean;
}

/** What became of an offered bundle. */
export type Offer =
  { readonly kind: 'stored' | 'same' } | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** What a {@link BundleSet} is made of. */
export interface BundleSetOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Our own bundle as far as it is known: its keys may stand in no other domain's bundle (Trust Domain and Bundle §6.2). */
  readonly own: () => Bundle | undefined;
  /** Ours: nobody else's to tell. */
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
}

/** The newest bundle of each peer's trust domain, in memory and in the store. */
export class BundleSet implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #own: () => Bundle | undefined;
  readonly #trustDomain: TrustDomain;
  readonly #clock: Clock;
  readonly #held = new Map<TrustDomain, HeldBundle>();
  readonly #refused = new Map<TrustDomain, RefusedOffer>();
  readonly #turnovers = new Map<TrustDomain, SeenTurnover>();
  readonly #listeners = new Set<() => void>();
  #subscription: Disposable | undefined;
  #reading: Promise<void> = Promise.resolve();

  private constructor(options: BundleSetOptions) {
    this.#store = options.store;
    this.#log = options.log;
    this.#own = options.own;
    this.#trustDomain = options.trustDomain;
    this.#clock = options.clock;
  }

  /** Reads what the store holds. A row that cannot be read is left out and logged: that domain is untrusted until a good bundle comes. */
  static async open(options: BundleSetOptions): Promise<BundleSet> {
    const set = new BundleSet(options);
    set.#subscription = options.store.watch(ROW_PREFIX, () => {
      set.#reading = set.#reading.then(() => set.#follow());
    });
    try {
      for (const row of await options.store.list(ROW_PREFIX)) set.#take(row.key, row.value);
    } catch (error) {
      if (codeOf(error) !== 'store-unavailable') throw error;
      options.log.error('bundles cannot be read from the store', { error: messageOf(error) });
    }
    return set;
  }

  /** The newest bundle of a domain, or `undefined`. */
  get(trustDomain: TrustDomain): Bundle | undefined {
    return this.#held.get(trustDomain)?.bundle;
  }

  /** All of them. */
  all(): ReadonlyMap<TrustDomain, Bundle> {
    return new Map([...this.#held].map(([domain, { bundle }]) => [domain, bundle]));
  }

  /** When a domain's bundle was last obtained or confirmed, milliseconds since 1970. */
  refreshedAtMs(trustDomain: TrustDomain): number | undefined {
    return this.#held.get(trustDomain)?.refreshedAtMs;
  }

  /** The last offer for a domain, if it was refused. */
  refusedOffer(trustDomain: TrustDomain): RefusedOffer | undefined {
    return this.#refused.get(trustDomain);
  }

  /** The last change of a domain's bundle, if more than half of its roots went. */
  turnover(trustDomain: TrustDomain): SeenTurnover | undefined {
    return this.#turnovers.get(trustDomain);
  }

  /** Calls `listener` after every change, until disposed of. */
  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Takes a bundle that was obtained for its trust domain by a trusted way, unless it is older than the stored one or
   * holds a key of another domain. What a store that is away cannot take is believed here, and written when it is back.
   */
  async offer(bundle: Bundle, terms: OfferTerms = {}): Promise<Offer> {
    const offer = this.#foreign(bundle) ?? (await this.#write(bundle, terms));
    if (offer.kind === 'refused') {
      const { code, message } = offer;
      this.#refused.set(bundle.trustDomain, { bundle, code, message, atMs: this.#clock.now() });
    } else if (terms.fetched === true || offer.kind === 'stored') this.#refused.delete(bundle.trustDomain);
    return offer;
  }

  /** Forgets a domain: nothing of it is trusted from now on. */
  async remove(trustDomain: TrustDomain): Promise<void> {
    this.#refused.delete(trustDomain);
    this.#turnovers.delete(trustDomain);
    if (this.#held.delete(trustDomain)) this.#tell();
    await this.#store.remove(keyOf(trustDomain), 'any');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    this.#listeners.clear();
    await this.#reading;
  }

  /** What may not be believed of any domain but one: ours is nobody else's to tell, and a key belongs to one domain (TB §6.2). */
  #foreign(bundle: Bundle): Offer | undefined {
    if (bundle.trustDomain === this.#trustDomain) {
      return { kind: 'refused', code: 'bundle-own-domain', message: 'a bundle of our own trust domain was offered' };
    }
    const own = this.#own();
    const all = [...this.all().values(), ...(own === undefined ? [] : [own])];
    const owner = sharedAuthority(
      bundle,
      all.filter((other) => other.trustDomain !== bundle.trustDomain),
    );
    if (owner === undefined) return undefined;
    const message = `a key of the bundle for ${bundle.trustDomain} is already bound to ${owner}`;
    return { kind: 'refused', code: 'bundle-shared-key', message };
  }

  async #write(bundle: Bundle, terms: OfferTerms): Promise<Offer> {
    const { trustDomain } = bundle;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const row = await this.#row(trustDomain, terms);
      const read = row === 'away' || row === undefined ? undefined : this.#read(row.key, row.value);
      const before = newerOf(this.#held.get(trustDomain), read);
      const { next, offer } = decided(before, bundle, { ...terms, nowMs: this.#clock.now() });
      if (next === undefined) return offer;
      if (row !== 'away' && !isStored(read, next)) {
        const written = await this.#put(next, row?.version, terms);
        if (written === 'conflict') continue;
      }
      this.#hold(before, next, offer.kind === 'stored');
      return offer;
    }
    const message = `the row of ${trustDomain} changed ${ATTEMPTS_MAX} times while it was written`;
    throw new JumpgateError('store-contended', message, { source: 'local', retry: 'later' });
  }

  async #row(trustDomain: TrustDomain, terms: OfferTerms): Promise<Row | 'away' | undefined> {
    try {
      return await this.#store.get(keyOf(trustDomain));
    } catch (error) {
      return this.#away(error, trustDomain, terms);
    }
  }

  async #put(
    held: HeldBundle,
    version: Row['version'] | undefined,
    terms: OfferTerms,
  ): Promise<'conflict' | 'stored' | 'away'> {
    const { trustDomain } = held.bundle;
    try {
      return (await this.#store.put(keyOf(trustDomain), writeBundleRow(held), version ?? 'absent')).kind;
    } catch (error) {
      return this.#away(error, trustDomain, terms);
    }
  }

  #away(error: unknown, trustDomain: TrustDomain, { durable = false }: OfferTerms): 'away' {
    if (durable || codeOf(error) !== 'store-unavailable') throw error;
    this.#log.warn('a bundle waits for the store to come back', { trustDomain, error: messageOf(error) });
    return 'away';
  }

  /** `before` may be held no longer: the store tells of the new row while it is written. */
  #hold(before: HeldBundle | undefined, next: HeldBundle, changed: boolean): void {
    this.#held.set(next.bundle.trustDomain, next);
    if (changed && before !== undefined) this.#watchTurnover(before.bundle, next.bundle);
    if (changed || next.refreshedAtMs - (before?.refreshedAtMs ?? 0) > REFRESH_KNOWN_MS) this.#tell();
  }

  #watchTurnover(before: Bundle, after: Bundle): void {
    const { trustDomain } = after;
    const turnover = turnoverOf(before, after);
    const known = this.#turnovers.get(trustDomain);
    if (known !== undefined && after.sequence !== undefined && known.sequence === after.sequence) return;
    if (turnover === undefined) {
      this.#turnovers.delete(trustDomain);
      return;
    }
    this.#turnovers.set(trustDomain, { ...turnover, sequence: after.sequence, atMs: this.#clock.now() });
    this.#log.error('more than half of the roots of a trust domain changed at once', { trustDomain, ...turnover });
  }

  /** Rows changed, here or at another replica. */
  async #follow(): Promise<void> {
    try {
      const before = new Map(this.#held);
      const rows = await this.#store.list(ROW_PREFIX);
      const present = new Set(rows.map(({ key }) => key));
      for (const [domain, held] of before) {
        // One that was written while the rows were read is newer than what was read.
        if (!present.has(keyOf(domain)) && this.#held.get(domain) === held) this.#held.delete(domain);
      }
      for (const { key, value } of rows) this.#take(key, value);
      if (!sameBundles(before, this.#held)) this.#tell();
      for (const row of rows) await this.#correct(row);
    } catch (error) {
      this.#log.warn('changed bundles cannot be read from the store', { error: messageOf(error) });
    }
  }

  /**
   * Writes over a row that is older than what is held: of a replica that did not know better. Not over one that only
   * contradicts it, else two replicas that hold different bundles of one sequence would write for ever.
   */
  async #correct({ key, value, version }: Row): Promise<void> {
    const read = this.#read(key, value);
    const held = read && this.#held.get(read.bundle.trustDomain);
    if (read === undefined || held === undefined || !isOlder(read, held)) return;
    const { trustDomain, sequence } = read.bundle;
    this.#log.error('a stored bundle is older than the one that is held, and is replaced', { trustDomain, sequence });
    await this.#put(held, version, {});
  }

  #take(key: string, value: string): void {
    const read = this.#read(key, value);
    if (read === undefined) return;
    const { trustDomain } = read.bundle;
    const held = this.#held.get(trustDomain);
    const next = newerOf(held, read) ?? read;
    this.#held.set(trustDomain, next);
    if (held !== undefined && next.bundle !== held.bundle) this.#watchTurnover(held.bundle, next.bundle);
  }

  #read(key: string, value: string): HeldBundle | undefined {
    const trustDomain = domainOf(key);
    if (trustDomain === undefined) return undefined;
    try {
      return readBundleRow(value, trustDomain, this.#clock.now());
    } catch (error) {
      this.#log.error('a stored bundle cannot be read and is not used', { key, error: messageOf(error) });
      return undefined;
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function keyOf(trustDomain: TrustDomain): string {
  return `${ROW_PREFIX}${trustDomain}`;
}

function domainOf(key: string): TrustDomain | undefined {
  return key.startsWith(ROW_PREFIX) ? tryTrustDomain(key.slice(ROW_PREFIX.length)) : undefined;
}

/** What to hold after an offer, or why not. */
function decided(
  before: HeldBundle | undefined,
  bundle: Bundle,
  { replace = false, fetched = false, nowMs }: OfferTerms & { readonly nowMs: number },
): { readonly next: HeldBundle | undefined; readonly offer: Offer } {
  const outcome = mergeBundle(before?.bundle, bundle);
  const restarts = before?.restarts ?? 0;
  if (outcome.kind === 'refuse' && !replace) return { next: undefined, offer: { ...outcome, kind: 'refused' } };
  if (outcome.kind === 'same' && before !== undefined) {
    return { next: fetched ? { ...before, refreshedAtMs: nowMs } : before, offer: { kind: 'same' } };
  }
  const anew = outcome.kind === 'refuse' ? 1 : 0;
  return { next: { bundle, refreshedAtMs: nowMs, restarts: restarts + anew }, offer: { kind: 'stored' } };
}

/** Whether the row says so already; its time of refresh may be a little older. */
function isStored(read: HeldBundle | undefined, next: HeldBundle): boolean {
  if (read === undefined || read.restarts !== next.restarts) return false;
  if (next.refreshedAtMs - read.refreshedAtMs > REFRESH_KNOWN_MS) return false;
  return mergeBundle(read.bundle, next.bundle).kind === 'same';
}

function sameBundles(a: ReadonlyMap<TrustDomain, HeldBundle>, b: ReadonlyMap<TrustDomain, HeldBundle>): boolean {
  return a.size === b.size && [...a].every(([domain, { bundle }]) => b.get(domain)?.bundle === bundle);
}
