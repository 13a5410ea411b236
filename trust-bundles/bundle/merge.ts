/** Which of two bundles of one trust domain wins, and whether an authority is already bound to another domain. */
import { invariant } from '../../base/errors.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type Bundle } from './bundle.ts';

/** Outcome of a merge: bundles are replaced whole, never mixed (SPIFFE Federation §4.2). */
export type MergeOutcome =
  | { readonly kind: 'replace' }
  | { readonly kind: 'same' }
  | {
      readonly kind: 'refuse';
      /** Lower sequence than stored; same sequence with other keys; no sequence where there was one. */
      readonly code: 'bundle-rollback' | 'bundle-conflict' | 'bundle-sequence-lost';
      readonly message: string;
    };

/**
 * Decides about an `offered` bundle of the same trust domain as the `stored` one. With sequences the higher wins and a
 * lower is a roll-back; without any, the last fetched wins (SPIFFE Federation §4.2).
 */
export function mergeBundle(stored: Bundle | undefined, offered: Bundle): MergeOutcome {
  if (stored === undefined) return { kind: 'replace' };
  invariant(stored.trustDomain === offered.trustDomain, 'bundles of two trust domains are never merged');
  const same = haveSameKeys(stored, offered);
  const unchanged = same && stored.refreshHintSeconds === offered.refreshHintSeconds;
  if (stored.sequence === undefined) {
    return unchanged && offered.sequence === undefined ? { kind: 'same' } : { kind: 'replace' };
  }
  const domain = stored.trustDomain;
  if (offered.sequence === undefined) {
    const message = `the bundle of ${domain} had sequence ${stored.sequence} and is now offered without one`;
    return { kind: 'refuse', code: 'bundle-sequence-lost', message };
  }
  if (offered.sequence < stored.sequence) {
    const message = `the bundle of ${domain} was offered with sequence ${offered.sequence}, older than the stored ${stored.sequence}`;
    return { kind: 'refuse', code: 'bundle-rollback', message };
  }
  if (offered.sequence === stored.sequence && !same) {
    const message = `the bundle of ${domain} was offered with other keys under the stored sequence ${stored.sequence}`;
    return { kind: 'refuse', code: 'bundle-conflict', message };
  }
  return unchanged && offered.sequence === stored.sequence ? { kind: 'same' } : { kind: 'replace' };
}

/**
 * The trust domain among `others` that is already bound to an authority of `bundle`, by the same certificate or by the
 * same key in another certificate (SPIFFE Trust Domain and Bundle §6.2). Bundles of the same domain are passed over.
 */
export function sharedAuthority(bundle: Bundle, others: Iterable<Bundle>): TrustDomain | undefined {
  const keys = new Set(keysOf(bundle));
  for (const other of others) {
    if (other.trustDomain === bundle.trustDomain) continue;
    if (keysOf(other).some((key) => keys.has(key))) return other.trustDomain;
  }
  return undefined;
}

function keysOf(bundle: Bundle): readonly string[] {
  return bundle.x509Authorities.map(({ der }) => Buffer.from(readCertificate(der).spki).toString('hex'));
}

function haveSameKeys(one: Bundle, other: Bundle): boolean {
  return (
    areSameSets(
      one.x509Authorities.map((authority) => authority.fingerprint),
      other.x509Authorities.map((authority) => authority.fingerprint),
    ) &&
    areSameSets(
      one.jwtAuthorities.map((authority) => `${authority.keyId} ${authority.jwk}`),
      other.jwtAuthorities.map((authority) => `${authority.keyId} ${authority.jwk}`),
    )
  );
}

function areSameSets(one: readonly string[], other: readonly string[]): boolean {
  const set = new Set(one);
  return set.size === new Set(other).size && other.every((item) => set.has(item));
}
