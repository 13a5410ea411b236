/** The nine signature algorithms of JWT-SVIDs (JWT-SVID §2.1, RFC 7518 §3.3 to §3.5), and which keys each demands. */
import { constants, type KeyObject, sign, verify } from 'node:crypto';

/** A value of `alg`; no other is ever looked at further. */
export type JwtAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'ES256' | 'ES384' | 'ES512' | 'PS256' | 'PS384' | 'PS512';

type Scheme =
  | { readonly kind: 'ecdsa'; readonly digest: string; readonly curve: string; readonly signatureOctets: number }
  | { readonly kind: 'rsa-pkcs1'; readonly digest: string }
  | { readonly kind: 'rsa-pss'; readonly digest: string; readonly saltOctets: number };

const SCHEMES: Readonly<Record<JwtAlgorithm, Scheme>> = {
  ES256: { kind: 'ecdsa', digest: 'sha256', curve: 'prime256v1', signatureOctets: 64 },
  ES384: { kind: 'ecdsa', digest: 'sha384', curve: 'secp384r1', signatureOctets: 96 },
  ES512: { kind: 'ecdsa', digest: 'sha512', curve: 'secp521r1', signatureOctets: 132 },
  RS256: { kind: 'rsa-pkcs1', digest: 'sha256' },
  RS384: { kind: 'rsa-pkcs1', digest: 'sha384' },
  RS512: { kind: 'rsa-pkcs1', digest: 'sha512' },
  // RFC 7518 §3.5: the salt is as long as the digest.
  PS256: { kind: 'rsa-pss', digest: 'sha256', saltOctets: 32 },
  PS384: { kind: 'rsa-pss', digest: 'sha384', saltOctets: 48 },
  PS512: { kind: 'rsa-pss', digest: 'sha512', saltOctets: 64 },
};

/** The algorithm called `name`, exactly as written (case counts), or `undefined` when it is none of the nine. */
export function jwtAlgorithm(name: unknown): JwtAlgorithm | undefined {
  switch (name) {
    case 'RS256':
    case 'RS384':
    case 'RS512':
    case 'ES256':
    case 'ES384':
    case 'ES512':
    case 'PS256':
    case 'PS384':
    case 'PS512':
      return name;
    default:
      return undefined;
  }
}

/** Whether `key` is of the type, and for ECDSA on the very curve, that `algorithm` demands. */
export function fitsAlgorithm(key: KeyObject, algorithm: JwtAlgorithm): boolean {
  const scheme = SCHEMES[algorithm];
  if (scheme.kind === 'ecdsa') {
    return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === scheme.curve;
  }
  return key.asymmetricKeyType === 'rsa';
}

/**
 * Whether `signature` over `input` was made by the holder of `key`, which fits `algorithm`. ECDSA signatures are r and s
 * in fixed length (RFC 7518 §3.4), RSA signatures as long as the modulus; any other length is no signature.
 */
export function isSignedWith(key: KeyObject, algorithm: JwtAlgorithm, input: Buffer, signature: Buffer): boolean {
  const scheme = SCHEMES[algorithm];
  if (signature.length !== signatureOctetsOf(key, scheme)) return false;
  try {
    return verify(scheme.digest, input, withScheme(key, scheme), signature);
  } catch {
    // OpenSSL throws for signatures of impossible form where others only say no.
    return false;
  }
}

/** The signature over `input` by the private `key`, which fits `algorithm`. */
export function signWith(key: KeyObject, algorithm: JwtAlgorithm, input: Buffer): Buffer {
  const scheme = SCHEMES[algorithm];
  return sign(scheme.digest, input, withScheme(key, scheme));
}

function signatureOctetsOf(key: KeyObject, scheme: Scheme): number {
  if (scheme.kind === 'ecdsa') return scheme.signatureOctets;
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

function withScheme(key: KeyObject, scheme: Scheme): Parameters<typeof sign>[2] & Parameters<typeof verify>[2] {
  switch (scheme.kind) {
    case 'ecdsa':
      return { key, dsaEncoding: 'ieee-p1363' };
    case 'rsa-pkcs1':
      return { key, padding: constants.RSA_PKCS1_PADDING };
    case 'rsa-pss':
      return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltOctets };
    default:
      return scheme satisfies never;
  }
}
