/** The bundles that a new snapshot shares with the one before it. */
import { isDeepStrictEqual } from 'node:util';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

/**
 * `next`, with each bundle that did not change as the very value that stands in `previous`: verification remembers chains
 * by the identity of the bundle, and would prove them all again after a change of policy, or after a message to a worker.
 */
export function keepUnchanged(
  next: ReadonlyMap<TrustDomain, Bundle>,
  previous: ReadonlyMap<TrustDomain, Bundle> | undefined,
): ReadonlyMap<TrustDomain, Bundle> {
  const kept = [...next].map(([domain, bundle]) => {
    const known = previous?.get(domain);
    return [domain, known !== undefined && isDeepStrictEqual(known, bundle) ? known : bundle] as const;
  });
  return new Map(kept);
}
