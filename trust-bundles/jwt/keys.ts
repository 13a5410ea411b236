/** JWT authorities as keys: which public JWKs count, and which of a bundle's could have signed a token. */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import { asList, asRecord } from '../../base/brand.ts';
import { parseJson } from '../../base/json.ts';
import { type Bundle, type JwtAuthority } from '../bundle/bundle.ts';
import { fitsAlgorithm, type JwtAlgorithm } from './algorithm.ts';
import { decodeBase64Url } from './base64url.ts';

/** A key that verifies JWT-SVIDs of the trust domain whose bundle it came from. */
export interface JwtKey {
  readonly keyId: string;
  readonly key: KeyObject;
  /** `alg` of its JWK: the one algorithm that it is for (RFC 7517 §4.4). */
  readonly algorithm: string | undefined;
  /** SHA-256 over its SubjectPublicKeyInfo, lower-case hex: how a tainted key is named. */
  readonly fingerprint: string;
}

/** Public members of a JWK by key type (RFC 7518 §6.2, §6.3); nothing else is kept, private members least of all. */
const PUBLIC_MEMBERS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['EC', ['alg', 'crv', 'kty', 'x', 'y']],
  ['RSA', ['alg', 'e', 'kty', 'n']],
]);
/** RFC 7518 §6.2.1.2: a coordinate has the full length of its curve's field. */
const COORDINATE_OCTETS: ReadonlyMap<unknown, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
]);
/** RFC 7518 §3.3. */
const RSA_BITS_MIN = 2048;
/** The cost of a verification grows with the square of the size, and peers choose it. */
const RSA_BITS_MAX = 8192;
/** Exponents of 1 sign nothing; the cost grows with their length. */
const RSA_EXPONENT_MIN = 3n;
const RSA_EXPONENT_MAX = 2n ** 32n;
/** Tried for a token without a key ID; a domain that rotates in order publishes two or three. */
const KEYS_TRIED_MAX = 8;
/** A memo by identity of an immutable value: it changes no answer, and goes when the bundle that it stands in goes. */
const READY = new WeakMap<JwtAuthority, JwtKey | undefined>();

/**
 * The public part of a JWK that can verify JWT-SVIDs: EC on P-256, P-384 or P-521 with its point on the curve, or RSA of
 * 2,048 to 8,192 bits. `undefined` for everything else, however malformed.
 */
export function readPublicJwk(jwk: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> | undefined {
  // RFC 7517 §4.3: whoever says what a key is for means nothing else.
  if (jwk['key_ops'] !== undefined && asList(jwk['key_ops'])?.includes('verify') !== true) return undefined;
  const kept: Record<string, string> = {};
  for (const name of PUBLIC_MEMBERS.get(jwk['kty']) ?? []) {
    const value = jwk[name];
    if (typeof value === 'string') kept[name] = value;
    else if (value !== undefined) return undefined;
  }
  return importJwk(kept) === undefined ? undefined : kept;
}

/**
 * The keys of `bundle` that may have signed a token with this `alg` and key ID: with a key ID at most the one of that
 * name, without one the first eight that fit. X.509 authorities verify no token (JWT-SVID §6.2).
 */
export function candidateKeys(bundle: Bundle, algorithm: JwtAlgorithm, keyId: string | undefined): readonly JwtKey[] {
  const found: JwtKey[] = [];
  for (const authority of bundle.jwtAuthorities) {
    if (keyId !== undefined && authority.keyId !== keyId) continue;
    const key = jwtKeyOf(authority);
    if (key === undefined || (key.algorithm ?? algorithm) !== algorithm) continue;
    if (fitsAlgorithm(key.key, algorithm)) found.push(key);
    if (found.length === KEYS_TRIED_MAX) break;
  }
  return found;
}

/** The authority that publishes the public half of an ECDSA P-256 `key`, with the fingerprint as its key ID. */
export function jwtAuthorityOf(key: KeyObject): JwtAuthority {
  const publicKey = createPublicKey(key);
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  return { keyId: fingerprintOf(publicKey), jwk: JSON.stringify({ crv, kty, x, y }) };
}

/** The verifying key that an authority of a bundle is, imported once; `undefined` when its JWK cannot verify anything. */
export function jwtKeyOf(authority: JwtAuthority): JwtKey | undefined {
  if (!READY.has(authority)) READY.set(authority, readKey(authority));
  return READY.get(authority);
}

function readKey({ keyId, jwk: text }: JwtAuthority): JwtKey | undefined {
  const jwk = tryParse(text);
  const key = importJwk(jwk);
  if (key === undefined) return undefined;
  const algorithm = jwk['alg'];
  return {
    keyId,
    key,
    algorithm: typeof algorithm === 'string' ? algorithm : undefined,
    fingerprint: fingerprintOf(key),
  };
}

/** Bundles come from stores too, whose rows others may have written. */
function tryParse(text: string): Readonly<Record<string, unknown>> {
  try {
    return asRecord(parseJson(text)) ?? {};
  } catch {
    return {};
  }
}

function importJwk(jwk: JsonWebKey): KeyObject | undefined {
  if (!isWellFormed(jwk)) return undefined;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    // A point off the curve, for one.
    return undefined;
  }
  const { modulusLength: bits, publicExponent: exponent } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec') return key;
  if (bits === undefined || bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) return undefined;
  if (exponent === undefined || exponent < RSA_EXPONENT_MIN || exponent > RSA_EXPONENT_MAX) return undefined;
  return exponent % 2n === 0n ? undefined : key;
}

/** Before OpenSSL sees it: Node takes missing digits of a coordinate and other alphabets for granted. */
function isWellFormed({ kty, crv, x, y, n, e }: JsonWebKey): boolean {
  if (kty === 'RSA') return isUnsigned(n) && isUnsigned(e);
  const octets = COORDINATE_OCTETS.get(crv);
  return kty === 'EC' && octets !== undefined && octetsOf(x)?.length === octets && octetsOf(y)?.length === octets;
}

/** RFC 7518 §2, Base64urlUInt: the fewest octets that hold the number. */
function isUnsigned(value: unknown): boolean {
  const octets = octetsOf(value);
  return octets !== undefined && octets[0] !== undefined && octets[0] !== 0;
}

function octetsOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' ? decodeBase64Url(value) : undefined;
}

function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest('hex');
}
