/** The rules for the leaf of a chain (X.509-SVID §2, §3.1, §4, §5.2). */
import { pathOf, type SpiffeId, trySpiffeId } from '../identity/spiffe-id.ts';
import { type Certificate, hasEmptySubject, urisOf } from '../x509/certificate.ts';
import { purposeOf, type PresenterRole } from './purpose.ts';
import { rejected } from './rejection.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** The SPIFFE ID of a leaf: exactly one URI among its names, legal, with a path. */
export function readLeafId(leaf: Certificate): { readonly kind: 'id'; readonly id: SpiffeId } | VerificationFailure {
  const uris = urisOf(leaf);
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) {
    return rejected('leaf-names', `expected exactly one URI among the leaf's names, found ${uris.length}`);
  }
  if (hasEmptySubject(leaf) && leaf.extensions.subjectAltName?.critical !== true) {
    return rejected('leaf-names', 'expected critical alternative names beside an empty subject');
  }
  const id = trySpiffeId(uri);
  if (id === undefined) {
    return rejected('spiffe-id-malformed', `expected a SPIFFE ID, found ${JSON.stringify(uri.slice(0, 256))}`);
  }
  if (pathOf(id) === '') return rejected('spiffe-id-malformed', `expected a SPIFFE ID with a path, found ${id}`);
  return { kind: 'id', id };
}

/** Refuses a leaf that may sign certificates or may not act as `role`. */
export function checkLeaf(leaf: Certificate, role: PresenterRole): VerificationFailure | undefined {
  const { basicConstraints, keyUsage, extendedKeyUsage, nameConstraints } = leaf.extensions;
  if (basicConstraints?.ca === true) return rejected('leaf-constraints', 'the leaf is a CA certificate');
  if (nameConstraints !== undefined) return rejected('leaf-constraints', 'the leaf carries name constraints');
  if (keyUsage?.critical !== true) return rejected('leaf-constraints', 'expected critical key usage in the leaf');
  if (!keyUsage.digitalSignature) return rejected('leaf-constraints', 'the leaf may not make digital signatures');
  if (keyUsage.keyCertSign || keyUsage.crlSign) {
    return rejected('leaf-constraints', 'the leaf may sign certificates or revocation lists');
  }
  if (extendedKeyUsage !== undefined && !extendedKeyUsage.includes(purposeOf(role))) {
    return rejected('extended-key-usage', `the leaf may not be used as a TLS ${role}`);
  }
  return undefined;
}
