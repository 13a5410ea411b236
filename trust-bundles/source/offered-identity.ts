/** What a source outside of us offers as our identity, judged before any of it is used. */
import { createPublicKey, type KeyObject } from 'node:crypto';

import { JumpgateError } from '../../base/errors.ts';
import { type Bundle, type JwtAuthority, type X509Authority } from '../bundle/bundle.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { verifySvid } from '../verify/verify.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type X509Svid } from '../x509/svid.ts';

/** An offer. */
export interface OfferedIdentity {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
  readonly x509Authorities: readonly X509Authority[];
  readonly jwtAuthorities: readonly JwtAuthority[];
}

/** Against what it is judged. */
export interface OfferJudgement {
  /** The one ID that a peer admits as this gateway. */
  readonly gatewayId: SpiffeId;
  readonly nowMs: number;
}

/**
 * The SVID of an offer whose key is that of its leaf, whose ID is the gateway's, and whose chain verifies against the
 * offer's own authorities for both ends of TLS, as every peer will ask. Throws (source config) `svid-key-mismatch`,
 * `svid-id-mismatch`, `svid-unverified` with the verifier's reason, and `certificate-malformed`.
 */
export function judgeOffer(offer: OfferedIdentity, { gatewayId, nowMs }: OfferJudgement): X509Svid {
  const [der] = offer.chain;
  if (der === undefined) throw refused('svid-unverified', 'expected a certificate, found an empty chain');
  const leaf = readCertificate(der);
  const spki = createPublicKey(offer.key).export({ format: 'der', type: 'spki' });
  if (Buffer.compare(spki, leaf.spki) !== 0) {
    const cause = 'the two may be from before and after a renewal';
    throw refused('svid-key-mismatch', `expected the private key of the certificate, found that of another: ${cause}`);
  }
  const trustDomain = trustDomainOf(gatewayId);
  const bundle: Bundle = { ...unnumbered(offer), trustDomain };
  for (const role of ['client', 'server'] as const) {
    const trust = { bundles: new Map([[trustDomain, bundle]]), tainted: new Set<string>() };
    const verdict = verifySvid({ chain: offer.chain, trust, role, nowMs });
    if (verdict.kind === 'rejected') {
      const message = `expected an SVID that verifies with its own bundle as a TLS ${role}, found: ${verdict.message} (${verdict.code})`;
      throw refused('svid-unverified', message);
    }
    if (verdict.id !== gatewayId) {
      const hint = 'set gatewayId of the Mesh, and of the Peer at the other meshes, to the ID that is issued';
      throw refused('svid-id-mismatch', `expected the SVID of ${gatewayId}, found that of ${verdict.id}: ${hint}`);
    }
  }
  const { notBeforeMs, notAfterMs } = leaf;
  return { id: gatewayId, chain: offer.chain, key: offer.key, notBeforeMs, notAfterMs };
}

/** Whether two sets of authorities are the same, in whatever order. */
export function haveSameAuthorities(one: AuthorityLists, other: AuthorityLists): boolean {
  return namesOf(one) === namesOf(other);
}

type AuthorityLists = Pick<Bundle, 'x509Authorities' | 'jwtAuthorities'>;

function namesOf({ x509Authorities, jwtAuthorities }: AuthorityLists): string {
  const x509 = x509Authorities.map(({ fingerprint }) => fingerprint).sort();
  const jwt = jwtAuthorities.map(({ keyId, jwk }) => JSON.stringify([keyId, jwk])).sort();
  return [...x509, ...jwt].join(' ');
}

function unnumbered({ x509Authorities, jwtAuthorities }: OfferedIdentity): Omit<Bundle, 'trustDomain'> {
  return { x509Authorities, jwtAuthorities, sequence: undefined, refreshHintSeconds: undefined };
}

function refused(code: string, message: string): JumpgateError {
  return new JumpgateError(code, message, { source: 'config' });
}
