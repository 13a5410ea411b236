/** Keys that are believed no more although their certificates would hold: quarantined ones, and what leaked. */
import { rejected } from './rejection.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** Refuses keys of which one is among `tainted`; both are lower-case hex SHA-256 of SubjectPublicKeyInfo. */
export function checkTaint(keys: readonly string[], tainted: ReadonlySet<string>): VerificationFailure | undefined {
  const found = keys.find((key) => tainted.has(key));
  return found === undefined ? undefined : rejected('key-tainted', `the chain holds the quarantined key ${found}`);
}
