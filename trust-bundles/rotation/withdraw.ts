/** An embedded CA without the keys that nobody shall believe any more. */
import { keyFingerprintOf, readCertificate } from '../x509/certificate.ts';
import { activatePrepared, activeRoot } from './phase.ts';
import { type RootSet } from './root-file.ts';

/** Whether the certificate `der` has one of these keys (lower-case hex SHA-256 of SubjectPublicKeyInfo). */
export function isTainted(der: Uint8Array, tainted: ReadonlySet<string>): boolean {
  return tainted.has(keyFingerprintOf(readCertificate(der)));
}

/** What is left of `set`, a prepared root in the place of an active one that went, and the fingerprints of what `gone` is. */
export function withoutTainted(
  set: RootSet,
  tainted: ReadonlySet<string>,
  nowMs: number,
): Pick<RootSet, 'roots' | 'jwtKeys'> & { readonly gone: readonly string[] } {
  const left = set.roots.filter(({ certificate }) => !isTainted(certificate, tainted));
  const jwtKeys = set.jwtKeys.filter(({ fingerprint }) => !tainted.has(fingerprint));
  const kept = new Set([...left, ...jwtKeys].map(({ fingerprint }) => fingerprint));
  const gone = [...set.roots, ...set.jwtKeys].map(({ fingerprint }) => fingerprint).filter((each) => !kept.has(each));
  return { gone, jwtKeys, roots: activeRoot(left) === undefined ? activatePrepared(left, nowMs) : left };
}
