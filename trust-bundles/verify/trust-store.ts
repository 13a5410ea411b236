/** What we believe at one instant: whose keys vouch for whom, and which keys never do. */
import { type Bundle } from '../bundle/bundle.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';

/** An immutable value, replaced whole when trust changes. A snapshot is one. */
export interface TrustStore {
  /** By the trust domain whose SVIDs they vouch for; never pooled. */
  readonly bundles: ReadonlyMap<TrustDomain, Bundle>;
  /** Lower-case hex SHA-256 of SubjectPublicKeyInfo: no chain with such a key is accepted, whoever vouches for it. */
  readonly tainted: ReadonlySet<string>;
}
