/** SPIFFE bundle documents (SPIFFE Trust Domain and Bundle §4): read leniently as the specification asks, written strictly. */
import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { readPublicJwk } from '../jwt/keys.ts';
import {
  type Certificate,
  foreignIdOf,
  importPublicKey,
  readCertificate,
  tryCertificate,
} from '../x509/certificate.ts';
import { type Bundle, type JwtAuthority, type X509Authority } from './bundle.ts';

/** What a document says. */
export interface BundleDocument {
  readonly bundle: Bundle;
  /** Entries of `keys` that were passed over: unknown use or key type, no usable certificate or key (§4.1.3, X.509-SVID §6.2). */
  readonly ignored: number;
}

/** security.md I12. */
const DOCUMENT_OCTETS_MAX = 1024 * 1024;
const KEYS_MAX = 256;
const KEY_ID_CHARS_MAX = 256;
const SEQUENCE_MAX = 2n ** 64n - 1n;

const X509_KEY_TYPES: ReadonlySet<unknown> = new Set(['EC', 'RSA', 'OKP']);

/**
 * Reads the bundle of `trustDomain`, which the caller knows and the document cannot say. An empty `keys` is legal and
 * means that everything is revoked (§4.1.3). Throws `bundle-malformed` (source peer) when the document is no bundle, is
 * larger than 1 MiB or 256 keys, carries a sequence or refresh hint that is no integer, or an authority whose own SPIFFE
 * ID is of another trust domain.
 */
export function readBundleDocument(text: string | Uint8Array, trustDomain: TrustDomain): BundleDocument {
  return readBundleValue(parse(text, trustDomain), trustDomain);
}

/** As {@link readBundleDocument}, of a document that `parseJson` has read as part of a larger one. */
export function readBundleValue(value: unknown, trustDomain: TrustDomain): BundleDocument {
  const document = asRecord(value);
  const keys = asList(document?.['keys']);
  if (document === undefined || keys === undefined) {
    throw malformed(trustDomain, 'expected an object with a list called keys, found none: this is no SPIFFE bundle');
  }
  if (keys.length > KEYS_MAX) throw malformed(trustDomain, `expected at most ${KEYS_MAX} keys, found ${keys.length}`);
  const x509 = new Map<string, X509Authority>();
  const jwt = new Map<string, JwtAuthority>();
  let ignored = 0;
  for (const key of keys) {
    const jwk = asRecord(key) ?? {};
    const x509Authority = jwk['use'] === 'x509-svid' ? readX509Authority(jwk, trustDomain) : undefined;
    const jwtAuthority = jwk['use'] === 'jwt-svid' ? readJwtAuthority(jwk) : undefined;
    if (x509Authority !== undefined) x509.set(x509Authority.fingerprint, x509Authority);
    else if (jwtAuthority !== undefined && !jwt.has(jwtAuthority.keyId)) jwt.set(jwtAuthority.keyId, jwtAuthority);
    else ignored += 1;
  }
  const bundle: Bundle = {
    trustDomain,
    x509Authorities: [...x509.values()],
    jwtAuthorities: [...jwt.values()],
    sequence: readSequence(document['spiffe_sequence'], trustDomain),
    refreshHintSeconds: readRefreshHint(document['spiffe_refresh_hint'], trustDomain),
  };
  return { bundle, ignored };
}

/**
 * The document of `bundle`: both `spiffe_` members when they are known, per X.509 authority one `x5c` and no `kid`, no
 * private members and nothing that SPIRE's decoder refuses (spiffe.md section 5). Sequences are exact to 64 bits.
 */
export function writeBundleDocument(bundle: Omit<Bundle, 'trustDomain'>): string {
  const members: string[] = [];
  if (bundle.sequence !== undefined) members.push(`"spiffe_sequence":${bundle.sequence}`);
  if (bundle.refreshHintSeconds !== undefined) members.push(`"spiffe_refresh_hint":${bundle.refreshHintSeconds}`);
  const keys = [...bundle.x509Authorities.map(x509Jwk), ...bundle.jwtAuthorities.map(jwtJwk)];
  members.push(`"keys":${JSON.stringify(keys)}`);
  return `{${members.join(',')}}`;
}

/** The X.509 authority that a CA certificate (DER) is. Throws `certificate-malformed` or `authority-unusable` (source config). */
export function x509Authority(der: Uint8Array): X509Authority {
  const certificate = readCertificate(der);
  if (!isUsable(certificate)) {
    const problem = 'expected a CA certificate with an ECDSA P-256 or P-384, RSA or Ed25519 key';
    throw new JumpgateError('authority-unusable', problem, { source: 'config' });
  }
  return { der, fingerprint: certificate.fingerprint };
}

function parse(text: string | Uint8Array, trustDomain: TrustDomain): unknown {
  try {
    return parseJson(text, { maxBytes: DOCUMENT_OCTETS_MAX });
  } catch (cause) {
    throw malformed(trustDomain, messageOf(cause), cause);
  }
}

function readX509Authority(
  jwk: Readonly<Record<string, unknown>>,
  trustDomain: TrustDomain,
): X509Authority | undefined {
  // X.509-SVID §6.2: the first value counts, further ones are ignored.
  const base64 = asList(jwk['x5c'])?.[0];
  if (!X509_KEY_TYPES.has(jwk['kty']) || typeof base64 !== 'string') return undefined;
  const der = new Uint8Array(Buffer.from(base64, 'base64'));
  if (Buffer.from(der).toString('base64') !== base64) return undefined;
  const certificate = tryCertificate(der);
  if (certificate === undefined || !isUsable(certificate)) return undefined;
  const foreign = foreignIdOf(certificate, trustDomain);
  if (foreign !== undefined) {
    throw malformed(trustDomain, `an authority in it has the identity ${foreign}: this is another mesh's bundle`);
  }
  return { der, fingerprint: certificate.fingerprint };
}

function isUsable(certificate: Certificate): boolean {
  if (certificate.extensions.basicConstraints?.ca !== true || certificate.publicKey.kind === 'other') return false;
  return importPublicKey(certificate) !== undefined;
}

function readJwtAuthority(jwk: Readonly<Record<string, unknown>>): JwtAuthority | undefined {
  const { kid: keyId } = jwk;
  if (typeof keyId !== 'string' || keyId === '' || keyId.length > KEY_ID_CHARS_MAX) return undefined;
  const publicJwk = readPublicJwk(jwk);
  return publicJwk === undefined ? undefined : { keyId, jwk: JSON.stringify(publicJwk) };
}

function readSequence(value: unknown, trustDomain: TrustDomain): bigint | undefined {
  if (value === undefined) return undefined;
  // A number that is no safe integer has been rounded on its way, or has a fraction.
  const exact = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof exact !== 'bigint' || exact < 0n || exact > SEQUENCE_MAX) {
    throw malformed(trustDomain, 'expected spiffe_sequence to be an unsigned integer of 64 bits');
  }
  return exact;
}

/** Held within what a number holds; how often to ask is the refresher's decision. */
function readRefreshHint(value: unknown, trustDomain: TrustDomain): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'bigint') return value < 0n ? 0 : Number.MAX_SAFE_INTEGER;
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw malformed(trustDomain, 'expected spiffe_refresh_hint to be an integer of seconds');
  }
  return Math.max(0, value);
}

function x509Jwk(authority: X509Authority): Readonly<Record<string, unknown>> {
  const jwk = importPublicKey(readCertificate(authority.der))?.export({ format: 'jwk' });
  return { ...jwk, use: 'x509-svid', x5c: [Buffer.from(authority.der).toString('base64')] };
}

function jwtJwk(authority: JwtAuthority): Readonly<Record<string, unknown>> {
  return { ...asRecord(parseJson(authority.jwk)), use: 'jwt-svid', kid: authority.keyId };
}

function malformed(trustDomain: TrustDomain, problem: string, cause?: unknown): JumpgateError {
  const message = `malformed bundle of ${trustDomain}: ${problem}`;
  return new JumpgateError('bundle-malformed', message, { source: 'peer', cause });
}
