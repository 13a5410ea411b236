/** Making a mesh a peer: its bundle's row is written ahead, its peer row switches it on, and a failure between leaves all as it was. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Store } from '../../base/store/store.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { sharedAuthority } from '../../trust-bundles/bundle/merge.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { SELF_PEER } from '../policy/rule.ts';
import { readStoredPeer, writeStoredPeer, type StoredPeer } from '../resources/stored-peer.ts';
import { type MeshIdentity } from './invite.ts';

const ROW_PREFIX = 'peers/';

/** Why a mesh cannot become a peer: a stable code and a sentence. */
export interface RegistrationRefusal {
  readonly kind: 'refused';
  readonly code:
    | 'name-reserved'
    | 'own-trust-domain'
    | 'own-bundle-unknown'
    | 'trust-domain-taken'
    | 'name-taken'
    | 'shared-authority'
    | 'peer-exists'
    | 'bundle-refused';
  readonly message: string;
}

/** Where bundles are kept; `trust-bundles/source/bundle-set` is one. */
export interface BundleShelf {
  get(trustDomain: TrustDomain): Bundle | undefined;
  all(): ReadonlyMap<TrustDomain, Bundle>;
  offer(
    bundle: Bundle,
    options: { readonly replace?: boolean; readonly durable?: boolean },
  ): Promise<{ readonly kind: 'stored' | 'same' } | { readonly kind: 'refused'; readonly message: string }>;
  remove(trustDomain: TrustDomain): Promise<void>;
}

/** What registering needs. */
export interface RegistrationOptions {
  readonly store: Store;
  readonly bundles: BundleShelf;
  readonly trustDomain: TrustDomain;
  /** Our own bundle, as far as it is known. */
  readonly own: () => Bundle | undefined;
  /** Peers that YAML declares: those are not changed from here. */
  readonly declared: () => readonly { readonly name: string; readonly trustDomain: TrustDomain }[];
  readonly clock: Clock;
}

/** A mesh that wants to become the peer `name`. */
export interface Candidate {
  readonly name: string;
  readonly identity: MeshIdentity;
  /** An operator's word that the peer of this name and domain starts anew. */
  readonly replace: boolean;
}

/** A registration that lacks only its last step. Disposing of it before that leaves everything as it was. */
export interface PreparedRegistration extends AsyncDisposable {
  readonly kind: 'prepared';
  /** Switches the peer on. Throws what the store throws, and `store-contended` or `bundle-refused` when somebody was faster. */
  commit(): Promise<void>;
}

/** Registers peers. */
export class Registration {
  readonly #options: RegistrationOptions;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Why the candidate would be refused now; changes nothing. */
  async check(candidate: Candidate): Promise<RegistrationRefusal | undefined> {
    const { name, identity, replace } = candidate;
    const { trustDomain, bundle } = identity;
    if (name === SELF_PEER)
      return refused('name-reserved', `no peer can be called ${SELF_PEER}: in rules that is our own mesh`);
    if (trustDomain === this.#options.trustDomain)
      return refused('own-trust-domain', `${trustDomain} is the trust domain of this mesh`);
    const known = [...this.#options.declared(), ...(await this.#stored())];
    const holder = known.find((peer) => peer.trustDomain === trustDomain && peer.name !== name);
    if (holder !== undefined)
      return refused('trust-domain-taken', `${trustDomain} is registered as peer ${holder.name}`);
    if (known.some((peer) => peer.name === name && peer.trustDomain !== trustDomain)) {
      return refused('name-taken', `the peer ${name} is another trust domain`);
    }
    const own = this.#options.own();
    if (own === undefined)
      return refused(
        'own-bundle-unknown',
        'this mesh does not know its own bundle yet: its source of identity is away',
      );
    const owner = sharedAuthority(bundle, [...this.#options.bundles.all().values(), own]);
    if (owner !== undefined)
      return refused('shared-authority', `a root of ${trustDomain} is already bound to ${owner}`);
    const held = this.#options.bundles.get(trustDomain);
    const isPeer = known.some((peer) => peer.trustDomain === trustDomain);
    if (held === undefined || !isPeer || replace || sameAuthorities(held, bundle)) return undefined;
    return refused('peer-exists', `the peer ${name} (${trustDomain}) is known with other roots`);
  }

  /** Registers the candidate, or refuses and leaves everything as it was. Throws what the store throws, likewise. */
  async register(candidate: Candidate): Promise<{ readonly kind: 'registered' } | RegistrationRefusal> {
    const prepared = await this.prepare(candidate);
    if (prepared.kind === 'refused') return prepared;
    await using ready = prepared;
    await ready.commit();
    return { kind: 'registered' };
  }

  /**
   * Does everything but the last step: the bundle is written ahead, which shows that the store takes it, and admits
   * nobody new. Disposing of it without a commit takes that back. Throws what the store throws.
   */
  async prepare(candidate: Candidate): Promise<PreparedRegistration | RegistrationRefusal> {
    const refusal = await this.check(candidate);
    if (refusal !== undefined) return refusal;
    const { store, bundles, clock } = this.#options;
    const { name, identity } = candidate;
    const { trustDomain, gatewayId, addresses, bundleEndpoint, bundle } = identity;
    const key = `${ROW_PREFIX}${name}`;
    const before = await store.get(key);
    const facts = { name, trustDomain, gatewayId, gateways: addresses, bundleEndpoint, joinedAtMs: clock.now() };
    // Read back before it is stored: a row that this gateway could not read would be a peer that silently is none.
    const value = writeStoredPeer(readStoredPeer(writeStoredPeer({ ...facts, source: 'join' })));
    const isPeer = await this.#isPeer(trustDomain);
    const held = bundles.get(trustDomain);
    // A bundle that belongs to no peer was left by a join that broke off.
    const replace = candidate.replace || !isPeer;
    // Other roots would cut the peer's links, and so wait for the commit.
    const late = isPeer && replace;
    // A peer that a restart would forget is none: what the store cannot take ends the join before anything is spent.
    const terms = { replace, durable: true };
    const ahead = late ? undefined : await bundles.offer(bundle, terms);
    if (ahead?.kind === 'refused') return refused('bundle-refused', ahead.message);
    const takeBack = (): Promise<unknown> =>
      isPeer && held !== undefined ? bundles.offer(held, { replace: true }) : bundles.remove(trustDomain);
    let written = !late;
    const commit = async (): Promise<void> => {
      const offered = late ? await bundles.offer(bundle, terms) : undefined;
      if (offered?.kind === 'refused') throw new JumpgateError('bundle-refused', offered.message, { source: 'peer' });
      written = true;
      const outcome = await store.put(key, value, before?.version ?? 'absent');
      if (outcome.kind !== 'stored') {
        const message = `the peer ${name} was changed by somebody else at the same time`;
        throw new JumpgateError('store-contended', message, { source: 'local', retry: 'later' });
      }
      written = false;
    };
    // What cannot be taken back is a bundle without a peer, which admits nobody and which the next join replaces.
    const dispose = async (): Promise<void> => {
      if (written) await takeBack().catch(() => undefined);
    };
    return { kind: 'prepared', commit, [Symbol.asyncDispose]: dispose };
  }

  async #isPeer(trustDomain: TrustDomain): Promise<boolean> {
    const known = [...this.#options.declared(), ...(await this.#stored())];
    return known.some((peer) => peer.trustDomain === trustDomain);
  }

  async #stored(): Promise<readonly StoredPeer[]> {
    const rows = await this.#options.store.list(ROW_PREFIX);
    return rows.map((row) => readStoredPeer(row.value));
  }
}

function sameAuthorities(a: Bundle, b: Bundle): boolean {
  const known = new Set(a.x509Authorities.map((authority) => authority.fingerprint));
  return b.x509Authorities.some((authority) => known.has(authority.fingerprint));
}

function refused(code: RegistrationRefusal['code'], message: string): RegistrationRefusal {
  return { kind: 'refused', code, message };
}
