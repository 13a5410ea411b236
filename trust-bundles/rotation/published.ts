/** What of an embedded CA stands in its bundle: keys in every phase, and no phase. */
import { type Bundle, type X509Authority } from '../bundle/bundle.ts';
import { jwtAuthorityOf } from '../jwt/keys.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type Root } from '../x509/issue.ts';
import { type RootSet } from './root-file.ts';

/** The bundle that publishes `set`. */
export function bundleOf(set: RootSet): Bundle {
  return {
    trustDomain: set.trustDomain,
    x509Authorities: publishedRoots(set.roots),
    jwtAuthorities: set.jwtKeys.map(({ key }) => jwtAuthorityOf(key)),
    sequence: set.sequence,
    refreshHintSeconds: set.refreshHintSeconds,
  };
}

/** The authorities that vouch for what `root` signs: itself, or those above it. */
export function anchorsOf({ certificate, fingerprint, upstream }: Root): readonly X509Authority[] {
  if (upstream === undefined) return [{ der: certificate, fingerprint }];
  return upstream.anchors.map((der) => ({ der, fingerprint: readCertificate(der).fingerprint }));
}

/** Each once, in the order of the roots. */
function publishedRoots(roots: readonly Root[]): readonly X509Authority[] {
  const all = roots.flatMap((root) => anchorsOf(root));
  return [...new Map(all.map((authority) => [authority.fingerprint, authority])).values()];
}

/** A text that differs between two sets exactly when their bundles do, the sequence aside. */
export function publishedOf({ roots, jwtKeys, refreshHintSeconds }: RootSet): string {
  return [...[...publishedRoots(roots), ...jwtKeys].map(({ fingerprint }) => fingerprint), refreshHintSeconds].join(
    ' ',
  );
}

/** Whether whoever believes what `other` signs believes `root` too, so that it may sign without being published first. */
export function isVouchedFor(root: Root, other: Root | undefined): boolean {
  if (root.upstream === undefined || other === undefined) return false;
  const known = new Set(anchorsOf(other).map(({ fingerprint }) => fingerprint));
  return anchorsOf(root).every(({ fingerprint }) => known.has(fingerprint));
}
