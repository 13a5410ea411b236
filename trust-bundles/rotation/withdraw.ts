/** An embedded CA without the keys that nobody shall believe any more. */
import { keyFingerprintOf, readCertificate } from '../x509/certificate.ts';
import { type Root } from '../x509/issue.ts';
import { activatePrepared, activeRoot } from './phase.ts';
import { type RootSet } from './root-file.ts';

/** Whether one of these certificates (DER) has one of these keys (lower-case hex SHA-256 of SubjectPublicKeyInfo). */
export function isChainTainted(chain: readonly Uint8Array[], tainted: ReadonlySet<string>): boolean {
  return chain.some((der) => tainted.has(keyFingerprintOf(readCertificate(der))));
}

/** Whether a chain that `root` signs, with its anchors, holds one of these keys. */
export function isRootTainted({ certificate, upstream }: Root, tainted: ReadonlySet<string>): boolean {
  return isChainTainted([certificate, ...(upstream?.chain ?? []), ...(upstream?.anchors ?? [])], tainted);
}

/** What is left of `set`, a prepared root in the place of an active one that went, and the fingerprints of what `gone` is. */
export function withoutTainted(
  set: RootSet,
  tainted: ReadonlySet<string>,
  nowMs: number,
): Pick<RootSet, 'roots' | 'jwtKeys'> & { readonly gone: readonly string[] } {
  const left = set.roots.filter((root) => !isRootTainted(root, tainted));
  const jwtKeys = set.jwtKeys.filter(({ fingerprint }) => !tainted.has(fingerprint));
  const kept = new Set([...left, ...jwtKeys].map(({ fingerprint }) => fingerprint));
  const gone = [...set.roots, ...set.jwtKeys].map(({ fingerprint }) => fingerprint).filter((each) => !kept.has(each));
  return { gone, jwtKeys, roots: activeRoot(left) === undefined ? activatePrepared(left, nowMs) : left };
}
