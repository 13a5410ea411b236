/** Keys that are believed no more although their certificates would hold: quarantined ones, and what leaked. */
import { type Certificate, keyFingerprintOf } from '../x509/certificate.ts';
import { rejected } from './rejection.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** Refuses certificates of which one has a key among `tainted` (lower-case hex SHA-256 of SubjectPublicKeyInfo). */
export function checkTaint(
  certificates: readonly Certificate[],
  tainted: ReadonlySet<string>,
): VerificationFailure | undefined {
  if (tainted.size === 0) return undefined;
  for (const certificate of certificates) {
    const key = keyFingerprintOf(certificate);
    if (tainted.has(key)) return rejected('key-tainted', `the chain holds the quarantined key ${key}`);
  }
  return undefined;
}
