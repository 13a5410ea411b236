/** The bundles of the peers' trust domains: kept in the store, one row per domain, never rolled back, never merged. */
import { asRecord } from '../../base/brand.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { type Store } from '../../base/store/store.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument, writeBundleDocument } from '../bundle/document.ts';
import { mergeBundle, sharedAuthority } from '../bundle/merge.ts';
import { tryTrustDomain, type TrustDomain } from '../identity/trust-domain.ts';

const ROW_PREFIX = 'bundles/';

/** How often a lost race for a row is run again before it is called a fault. */
const ATTEMPTS_MAX = 8;

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
}

/** The newest bundle of each peer's trust domain, in memory and in the store. */
export class BundleSet implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #own: () => Bundle | undefined;
  readonly #trustDomain: TrustDomain;
  readonly #bundles = new Map<TrustDomain, Bundle>();
  readonly #listeners = new Set<() => void>();
  #subscription: Disposable | undefined;
  #reading: Promise<void> = Promise.resolve();

  private constructor(options: BundleSetOptions) {
    this.#store = options.store;
    this.#log = options.log;
    this.#own = options.own;
    this.#trustDomain = options.trustDomain;
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
    return this.#bundles.get(trustDomain);
  }

  /** All of them. */
  all(): ReadonlyMap<TrustDomain, Bundle> {
    return new Map(this.#bundles);
  }

  /** Calls `listener` after every change, until disposed of. */
  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Takes a bundle that was obtained for its trust domain by a trusted way, unless it is older than the stored one or
   * holds a key of another domain. `replace` is an operator's word that the domain starts anew: order no longer counts.
   */
  async offer(bundle: Bundle, options: { readonly replace?: boolean } = {}): Promise<Offer> {
    const own = this.#own();
    const others = [...this.#bundles.values(), ...(own === undefined ? [] : [own])];
    if (bundle.trustDomain === this.#trustDomain) {
      return { kind: 'refused', code: 'bundle-own-domain', message: 'a bundle of our own trust domain was offered' };
    }
    const owner = sharedAuthority(bundle, others);
    if (owner !== undefined) {
      const message = `a key of the bundle for ${bundle.trustDomain} is already bound to ${owner}`;
      return { kind: 'refused', code: 'bundle-shared-key', message };
    }
    return this.#write(bundle, options.replace ?? false);
  }

  /** Forgets a domain: nothing of it is trusted from now on. */
  async remove(trustDomain: TrustDomain): Promise<void> {
    if (this.#bundles.delete(trustDomain)) this.#tell();
    await this.#store.remove(keyOf(trustDomain), 'any');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    this.#listeners.clear();
    await this.#reading;
  }

  async #write(bundle: Bundle, replace: boolean): Promise<Offer> {
    const value = JSON.stringify({ document: writeBundleDocument(bundle) });
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const row = await this.#store.get(keyOf(bundle.trustDomain));
      const stored = newer(this.#bundles.get(bundle.trustDomain), row && this.#read(row.key, row.value));
      const outcome = mergeBundle(stored, bundle);
      if (outcome.kind === 'refuse' && !replace) return { ...outcome, kind: 'refused' };
      if (outcome.kind === 'same' && row !== undefined) return { kind: 'same' };
      const written = await this.#store.put(keyOf(bundle.trustDomain), value, row?.version ?? 'absent');
      if (written.kind === 'conflict') continue;
      this.#bundles.set(bundle.trustDomain, bundle);
      this.#tell();
      return { kind: 'stored' };
    }
    throw new JumpgateError(
      'store-contended',
      `the row of ${bundle.trustDomain} changed ${ATTEMPTS_MAX} times while it was written`,
      {
        source: 'local',
        retry: 'later',
      },
    );
  }

  /** Rows changed, here or at another replica. */
  async #follow(): Promise<void> {
    try {
      const before = new Map(this.#bundles);
      const rows = await this.#store.list(ROW_PREFIX);
      const present = new Set(rows.map(({ key }) => key));
      for (const [domain, bundle] of before) {
        // One that was written while the rows were read is newer than what was read.
        if (!present.has(keyOf(domain)) && this.#bundles.get(domain) === bundle) this.#bundles.delete(domain);
      }
      for (const { key, value } of rows) this.#take(key, value);
      if (!sameBundles(before, this.#bundles)) this.#tell();
    } catch (error) {
      this.#log.warn('changed bundles cannot be read from the store', { error: messageOf(error) });
    }
  }

  #take(key: string, value: string): void {
    const read = this.#read(key, value);
    if (read === undefined) return;
    const held = this.#bundles.get(read.trustDomain);
    if (held !== undefined && mergeBundle(held, read).kind !== 'replace') return;
    this.#bundles.set(read.trustDomain, read);
  }

  #read(key: string, value: string): Bundle | undefined {
    const trustDomain = domainOf(key);
    if (trustDomain === undefined) return undefined;
    try {
      const document = asRecord(parseJson(value))?.['document'];
      if (typeof document !== 'string')
        throw new JumpgateError('bundle-malformed', 'a row without a document', { source: 'local' });
      return readBundleDocument(document, trustDomain).bundle;
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

/** What memory holds is never older than a row that came back from a stale replica (catalogue M6). */
function newer(held: Bundle | undefined, read: Bundle | undefined): Bundle | undefined {
  if (held === undefined || read === undefined) return held ?? read;
  return mergeBundle(held, read).kind === 'replace' ? read : held;
}

function sameBundles(a: ReadonlyMap<TrustDomain, Bundle>, b: ReadonlyMap<TrustDomain, Bundle>): boolean {
  return a.size === b.size && [...a].every(([domain, bundle]) => b.get(domain) === bundle);
}
