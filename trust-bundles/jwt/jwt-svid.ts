/** JWT-SVIDs: the one validator (JWT-SVID §2 to §4). */
import { type Brand, branded } from '../../base/brand.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { isSignedWith } from './algorithm.ts';
import { decodeBase64Url } from './base64url.ts';
import { readClaims } from './claims.ts';
import { type JwtHeader, readHeader } from './header.ts';
import { type TrustStore } from '../verify/trust-store.ts';
import { candidateKeys } from './keys.ts';
import { TOKEN_CHARS_MAX } from './part.ts';
import { type JwtRejection, rejected, shown } from './rejection.ts';

/** A token, who asks, and what it is validated against. */
export interface JwtValidationRequest {
  /** As the caller sent it, without `Bearer`. */
  readonly token: string;
  /** The validator's own name: one of the token's audiences must be exactly this. Not empty. */
  readonly audience: string;
  readonly trust: TrustStore;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Facts about a token that a JWT authority of the trust domain in its subject has signed for this audience. */
export interface JwtSvidFacts {
  readonly kind: 'verified';
  readonly id: SpiffeId;
  /** All audiences of the token; never pass it on to another of them. */
  readonly audience: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** Fingerprint of the key that signed: SHA-256 over SubjectPublicKeyInfo, lower-case hex. */
  readonly keyFingerprint: string;
  /** All claims; integers beyond 2^53 are bigints. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Made by {@link validateJwtSvid} only. */
export type ValidJwtSvid = Brand<JwtSvidFacts, 'ValidJwtSvid'>;

/**
 * Validates a JWT-SVID in compact serialization (JWT-SVID §2 to §4). The trust domain of `sub` names the one bundle whose
 * JWT authorities count. Pure and synchronous. Every token, however hostile, gets an answer; nothing is thrown on account
 * of one.
 */
export function validateJwtSvid(request: JwtValidationRequest): ValidJwtSvid | JwtRejection {
  const { token } = request;
  if (token.length > TOKEN_CHARS_MAX) {
    return rejected(
      'token-too-large',
      `expected a token of at most ${TOKEN_CHARS_MAX} characters, found ${token.length}`,
    );
  }
  const [header = '', payload = '', signature = '', ...more] = token.split('.', 4);
  if (header === '' || payload === '' || signature === '' || more.length > 0) {
    return rejected('token-malformed', 'expected three parts that are not empty, separated by dots');
  }
  const protectedHeader = readHeader(header);
  if (protectedHeader.kind === 'rejected') return protectedHeader;
  const claims = readClaims(payload, { own: request.audience, nowMs: request.nowMs });
  if (claims.kind === 'rejected') return claims;
  const octets = decodeBase64Url(signature);
  if (octets === undefined) return rejected('token-malformed', 'expected the signature in base64url without padding');
  const signed = { input: Buffer.from(`${header}.${payload}`, 'latin1'), signature: octets };
  const signer = findSigner({ header: protectedHeader, id: claims.id, signed, request });
  if (signer.kind === 'rejected') return signer;
  return branded<JwtSvidFacts, 'ValidJwtSvid'>({ ...claims, kind: 'verified', keyFingerprint: signer.fingerprint });
}

function findSigner(options: {
  readonly header: JwtHeader;
  readonly id: SpiffeId;
  readonly signed: { readonly input: Buffer; readonly signature: Buffer };
  readonly request: JwtValidationRequest;
}): { readonly kind: 'signer'; readonly fingerprint: string } | JwtRejection {
  const { header, signed, request } = options;
  const trustDomain = trustDomainOf(options.id);
  const bundle = request.trust.bundles.get(trustDomain);
  if (bundle?.trustDomain !== trustDomain) {
    return rejected('unknown-trust-domain', `no bundle of the trust domain ${trustDomain} is known here`);
  }
  if (bundle.jwtAuthorities.length === 0) {
    return rejected('empty-bundle', `the bundle of ${trustDomain} holds no JWT authority: it vouches for no token`);
  }
  const keys = candidateKeys(bundle, header.algorithm, header.keyId);
  if (keys.length === 0) {
    const found = header.keyId === undefined ? 'no kid' : `kid ${shown(header.keyId)}`;
    return rejected('unknown-key', `expected a key of ${trustDomain} for ${header.algorithm}, found none for ${found}`);
  }
  const signer = keys.find(({ key }) => isSignedWith(key, header.algorithm, signed.input, signed.signature));
  if (signer === undefined) {
    return rejected('signature-invalid', `expected a signature by a JWT authority of ${trustDomain}`);
  }
  if (request.trust.tainted.has(signer.fingerprint)) {
    return rejected('key-tainted', `the token is signed with the key ${signer.fingerprint}, which is distrusted here`);
  }
  return { kind: 'signer', fingerprint: signer.fingerprint };
}
