/** JWT-SVIDs for tests: honest tokens by default, any hostile shape by override; signed without the code under test. */
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

import { type Bundle, type JwtAuthority } from '../../trust-bundles/bundle/bundle.ts';
import { readBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { parseTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type JwtValidationRequest, validateJwtSvid } from '../../trust-bundles/jwt/jwt-svid.ts';
import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';

/** The instant that tokens are made at. */
export const JWT_NOW_MS = Date.parse('2027-03-01T12:00:00Z');
export const JWT_NOW_SECONDS = JWT_NOW_MS / 1000;
/** Whom an honest token is for. */
export const JWT_AUDIENCE = 'reports';

/** A key pair of a JWT authority, named as in its trust domain's bundle. */
export interface TestJwtKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** What may differ from the honest token; `undefined` as a value leaves the member out. */
export interface TokenOverrides {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** JSON texts as they are, instead of the members above. */
  readonly headerText?: string;
  readonly claimsText?: string;
  /** Takes the signature apart. */
  readonly signature?: (honest: Buffer) => Buffer;
}

/** Makes a key. `curve` for ECDSA, `bits` for RSA; ECDSA P-256 by default. */
export function testJwtKey(keyId: string, shape: { readonly curve?: string; readonly bits?: number } = {}): TestJwtKey {
  const pair =
    shape.bits === undefined
      ? generateKeyPairSync('ec', { namedCurve: shape.curve ?? 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: shape.bits });
  return { keyId, ...pair };
}

/** The `jwt-svid` entry of a key. */
export function jwkOf(key: TestJwtKey): Readonly<Record<string, unknown>> {
  return { ...key.publicKey.export({ format: 'jwk' }), use: 'jwt-svid', kid: key.keyId };
}

/** The bundle that a document of `trustDomain` with these entries is read as. */
export function jwtBundle(trustDomain: string, entries: readonly unknown[]): Bundle {
  return readBundleDocument(JSON.stringify({ keys: entries }), parseTrustDomain(trustDomain)).bundle;
}

/** The bundles of an honest domain `a.test` with these keys. */
export function jwtBundles(...keys: readonly TestJwtKey[]): ReadonlyMap<TrustDomain, Bundle> {
  const bundle = jwtBundle('a.test', keys.map(jwkOf));
  return new Map([[bundle.trustDomain, bundle]]);
}

/** A bundle whose authorities nobody has looked at, as a hostile store would have it. */
export function unreadBundles(authorities: readonly JwtAuthority[]): ReadonlyMap<TrustDomain, Bundle> {
  const bundle = { ...jwtBundle('a.test', []), jwtAuthorities: authorities };
  return new Map([[bundle.trustDomain, bundle]]);
}

/** A token of `spiffe://a.test/web` for {@link JWT_AUDIENCE}, valid for five minutes. `alg` decides how it is signed. */
export function testToken(key: TestJwtKey, alg = 'ES256', overrides: TokenOverrides = {}): string {
  const header = { alg, kid: key.keyId, typ: 'JWT', ...overrides.header };
  const claims = {
    sub: 'spiffe://a.test/web',
    aud: [JWT_AUDIENCE],
    exp: JWT_NOW_SECONDS + 300,
    iat: JWT_NOW_SECONDS,
    ...overrides.claims,
  };
  const parts = [overrides.headerText ?? JSON.stringify(header), overrides.claimsText ?? JSON.stringify(claims)];
  const input = parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
  const honest = signatureOver(input, key, alg);
  return `${input}.${(overrides.signature?.(honest) ?? honest).toString('base64url')}`;
}

/** What the validator says of `token`: the identity, or the code of the refusal. */
export function jwtVerdict(
  token: string,
  {
    bundles = new Map(),
    tainted = new Set(),
    audience = JWT_AUDIENCE,
    nowMs = JWT_NOW_MS,
  }: Partial<TrustStore & Omit<JwtValidationRequest, 'token' | 'trust'>>,
): string {
  const outcome = validateJwtSvid({ token, audience, trust: { bundles, tainted }, nowMs });
  return outcome.kind === 'verified' ? outcome.id : outcome.code;
}

function signatureOver(input: string, { privateKey, publicKey }: TestJwtKey, alg: string): Buffer {
  const digest = `sha${alg.slice(-3)}`;
  const octets = Buffer.from(input);
  switch (alg.slice(0, 2)) {
    case 'ES':
      return sign(digest, octets, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    case 'RS':
      return sign(digest, octets, privateKey);
    case 'PS': {
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return sign(digest, octets, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
    }
    case 'HS':
      // The confusion of CVE-2015-9235: the published key as the secret.
      return createHmac(digest, publicKey.export({ format: 'pem', type: 'spki' }))
        .update(octets)
        .digest();
    default:
      return Buffer.from('none');
  }
}
