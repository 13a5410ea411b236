/** Making a mesh a peer: its bundle's row is written ahead, its peer row switches it on, and a failure between leaves all as it was. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Store } from '../../base/store/store.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { sharedAuthority } from '../../trust-bundles/bundle/merge.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { readStoredPeer, writeStoredPeer, type StoredPeer } from '../resources/stored-peer.ts';
import { type MeshIdentity } from './invite.ts';

const ROW_PREFIX = 'peers/';

/** Why a mesh cannot become a peer: a stable code and a sentence. */
export interface RegistrationRefusal {
  readonly kind: 'refused';
  readonly code:
    'own-trust-domain' | 'trust-domain-taken' | 'name-taken' | 'shared-authority' | 'peer-exists' | 'bundle-refused';
  readonly message: string;
}

/** Where bundles are kept; `trust-bundles/source/bundle-set` is one. */
export interface BundleShelf {
  get(trustDomain: TrustDomain): Bundle | undefined;
  all(): ReadonlyMap<TrustDomain, Bundle>;
  offer(
    bundle: Bundle,
    options: { readonly replace?: boolean },
  ): Promise<{ readonly kind: 'stored' | 'same' } | { readonly kind: 'refused'; readonly message: string }>;
  remove(trustDomain: TrustDomain): Promise<void>;
}

/** What registering needs. */
export interface RegistrationOptions {
  readonly store: Store;
  readonly bundles: BundleShelf;
  readonly own: () => Bundle;
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
    const own = this.#options.own();
    if (trustDomain === own.trustDomain)
      return refused('own-trust-domain', `${trustDomain} is the trust domain of this mesh`);
    const known = [...this.#options.declared(), ...(await this.#stored())];
    const holder = known.find((peer) => peer.trustDomain === trustDomain && peer.name !== name);
    if (holder !== undefined)
      return refused('trust-domain-taken', `${trustDomain} is registered as peer ${holder.name}`);
    if (known.some((peer) => peer.name === name && peer.trustDomain !== trustDomain)) {
      return refused('name-taken', `the peer ${name} is another trust domain`);
    }
    const others = [...this.#options.bundles.all().values(), own].filter((other) => other.trustDomain !== trustDomain);
    const owner = sharedAuthority(bundle, others);
    if (owner !== undefined)
      return refused('shared-authority', `a root of ${trustDomain} is already bound to ${owner}`);
    const held = this.#options.bundles.get(trustDomain);
    if (held === undefined || replace || sameAuthorities(held, bundle)) return undefined;
    return refused(
      'peer-exists',
      `a peer of ${trustDomain} exists with other roots: remove it, or replace it on purpose`,
    );
  }

  /** Registers the candidate, or refuses and leaves everything as it was. Throws what the store throws, likewise. */
  async register(candidate: Candidate): Promise<{ readonly kind: 'registered' } | RegistrationRefusal> {
    const refusal = await this.check(candidate);
    if (refusal !== undefined) return refusal;
    const { name, identity, replace } = candidate;
    const { trustDomain, gatewayId, addresses, bundleEndpoint, bundle } = identity;
    const key = `${ROW_PREFIX}${name}`;
    const before = await this.#options.store.get(key);
    const heldBefore = this.#options.bundles.get(trustDomain);
    const joinedAtMs = this.#options.clock.now();
    const facts = { name, trustDomain, gatewayId, gateways: addresses, bundleEndpoint, joinedAtMs };
    // Read back before it is stored: a row that this gateway could not read would be a peer that silently is none.
    const value = writeStoredPeer(readStoredPeer(writeStoredPeer({ ...facts, source: 'join' })));
    const offered = await this.#options.bundles.offer(bundle, { replace });
    if (offered.kind === 'refused') return refused('bundle-refused', offered.message);
    try {
      const outcome = await this.#options.store.put(key, value, before?.version ?? 'absent');
      if (outcome.kind === 'stored') return { kind: 'registered' };
      const message = `the peer ${name} was changed by somebody else at the same time`;
      throw new JumpgateError('store-contended', message, { source: 'local', retry: 'later' });
    } catch (error) {
      if (heldBefore === undefined) await this.#options.bundles.remove(trustDomain);
      else await this.#options.bundles.offer(heldBefore, { replace: true });
      throw error;
    }
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
