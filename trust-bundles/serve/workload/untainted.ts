/** What of a bundle is still to be believed when some keys are not. */
import { createHash } from 'node:crypto';

import { type Bundle } from '../../bundle/bundle.ts';
import { jwtKeyOf } from '../../jwt/keys.ts';
import { readCertificate } from '../../x509/certificate.ts';

/** Leaves out the authorities whose SubjectPublicKeyInfo is tainted (SHA-256, lower-case hex); the same value if there are none. */
export function untainted(bundle: Bundle, tainted: ReadonlySet<string>): Bundle {
  if (tainted.size === 0) return bundle;
  const x509Authorities = bundle.x509Authorities.filter(({ der }) => {
    const { spki } = readCertificate(der);
    return !tainted.has(createHash('sha256').update(spki).digest('hex'));
  });
  const jwtAuthorities = bundle.jwtAuthorities.filter((authority) => {
    const fingerprint = jwtKeyOf(authority)?.fingerprint;
    return fingerprint !== undefined && !tainted.has(fingerprint);
  });
  const isWhole =
    x509Authorities.length === bundle.x509Authorities.length && jwtAuthorities.length === bundle.jwtAuthorities.length;
  return isWhole ? bundle : { ...bundle, x509Authorities, jwtAuthorities };
}
