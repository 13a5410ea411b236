/** What of an embedded CA stands in its bundle: keys in every phase, and no phase. */
import { type Bundle } from '../bundle/bundle.ts';
import { jwtAuthorityOf } from '../jwt/keys.ts';
import { type RootSet } from './root-file.ts';

/** The bundle that publishes `set`. */
export function bundleOf(set: RootSet): Bundle {
  return {
    trustDomain: set.trustDomain,
    x509Authorities: set.roots.map((root) => ({ der: root.certificate, fingerprint: root.fingerprint })),
    jwtAuthorities: set.jwtKeys.map(({ key }) => jwtAuthorityOf(key)),
    sequence: set.sequence,
    refreshHintSeconds: set.refreshHintSeconds,
  };
}

/** A text that differs between two sets exactly when their bundles do, the sequence aside. */
export function publishedOf({ roots, jwtKeys, refreshHintSeconds }: RootSet): string {
  return [...[...roots, ...jwtKeys].map(({ fingerprint }) => fingerprint), refreshHintSeconds].join(' ');
}
