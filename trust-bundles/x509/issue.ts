/** The embedded CA: makes roots and X.509-SVIDs (X.509-SVID §2 to §4). node-forge builds ASN.1, node:crypto signs. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

import forge from 'node-forge';

import { JumpgateError } from '../../base/errors.ts';
import { parseSpiffeId, pathOf, type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Certificate, readCertificate, urisOf } from './certificate.ts';
import { type X509Svid } from './svid.ts';

/** A root of the embedded CA with its private key, ECDSA P-256. */
export interface Root {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  /** SHA-256 over the certificate, lower-case hex. */
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** What stands above it, when it is an intermediate below a CA of somebody else's. */
  readonly upstream?: Upstream | undefined;
}

/** What stands above a CA of ours. */
export interface Upstream {
  /** Another one for other certificates: SHA-256 over the fingerprints of all of them, lower-case hex. */
  readonly id: string;
  /** DER, from the issuer up, without the roots: shown after our CA's certificate in every chain. */
  readonly chain: readonly Uint8Array[];
  /** DER: they stand in our bundle in the place of our CA's certificate. */
  readonly anchors: readonly Uint8Array[];
}

/** A CA of somebody else's that issues ours. */
export interface UpstreamCa extends Upstream {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  /** The earliest end of everything above ours, milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** Peers' clocks may be behind ours; everything issued is valid from this long before its making. */
const BACKDATE_MS = 10 * 60_000;
/** RFC 5280 §4.1.2.2: at most 20 octets, positive; the first bit is cleared and a bit below is set. */
const SERIAL_OCTETS = 20;

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ecdsaWithSha384: '1.2.840.10045.4.3.3',
  rsaWithSha256: '1.2.840.113549.1.1.11',
  ed25519: '1.3.101.112',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** BIT STRING contents: count of unused bits, then the bits. */
const DIGITAL_SIGNATURE = '\x07\x80';
const KEY_CERT_SIGN = '\x02\x04';

const { asn1 } = forge;
const { Class, Type } = asn1;
/** Context tags 0, 2, 3 and 6: node-forge types every tag number as a universal one. */
const TAG = { zero: Type.NONE, two: Type.INTEGER, three: Type.BITSTRING, six: Type.OID } as const;
type Node = forge.asn1.Asn1;

/**
 * Makes a root for `trustDomain`, valid from 10 minutes before `nowMs` until `ttlMs` after it, or with `upstream` an
 * intermediate below that CA and within its life. Its name and key identifier are unique, so that two roots of one
 * domain, or of two domains, are never taken for each other (spiffe.md section 3, 4).
 */
export function createRoot(options: {
  readonly trustDomain: TrustDomain;
  readonly nowMs: number;
  readonly ttlMs: number;
  readonly upstream?: UpstreamCa | undefined;
}): Root {
  const { nowMs, ttlMs, upstream } = options;
  const issuer = upstream && readCertificate(upstream.certificate);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(
    nameAttribute(OID.organization, 'Jumpgate'),
    nameAttribute(OID.commonName, `Jumpgate root ${randomBytes(16).toString('hex')}`),
  );
  const spki = spkiOf(publicKey);
  const keyId = keyIdOf(spki);
  const der = signCertificate({
    issuer: issuer === undefined ? subject : parsed(issuer.subject),
    subject,
    notBeforeMs: Math.max(nowMs - BACKDATE_MS, issuer?.notBeforeMs ?? 0),
    notAfterMs: Math.min(nowMs + ttlMs, upstream?.notAfterMs ?? Infinity),
    spki,
    extensions: [
      // Path length 0: the embedded CA signs SVIDs and nothing else.
      extension(OID.basicConstraints, true, sequence(boolean(true), integer('\x00'))),
      extension(OID.keyUsage, true, universal(Type.BITSTRING, KEY_CERT_SIGN)),
      extension(OID.subjectKeyId, false, octets(keyId)),
      ...authorityKeyId(issuer),
      extension(OID.subjectAltName, false, sequence(uri(`spiffe://${options.trustDomain}`))),
    ],
    key: upstream?.key ?? privateKey,
  });
  const root = loadRoot(der, privateKey);
  if (upstream === undefined) return root;
  const { id, chain, anchors } = upstream;
  return { ...root, upstream: { id, chain, anchors } };
}

/**
 * A stored root with its key. Throws `root-malformed` (source local) when the certificate and the key do not belong
 * together, and `certificate-malformed`.
 */
export function loadRoot(der: Uint8Array, key: KeyObject): Root {
  const certificate = readCertificate(der);
  if (Buffer.compare(spkiOf(createPublicKey(key)), certificate.spki) !== 0) {
    throw new JumpgateError('root-malformed', "the CA's private key is not the one of its certificate", {
      source: 'local',
    });
  }
  const { fingerprint, notBeforeMs, notAfterMs } = certificate;
  return { certificate: der, key, fingerprint, notBeforeMs, notAfterMs };
}

/**
 * Makes a key and an SVID for it: a certificate signed by `root`, with what stands between the two ends of the path, for both ends of TLS, valid from 10 minutes before
 * `nowMs` until `ttlMs` after it, and never beyond the root. Throws `svid-refused` (source local) for an ID without a
 * path or of another trust domain, and for a root that has ended.
 */
export function issueSvid(options: {
  readonly root: Root;
  readonly id: SpiffeId;
  readonly nowMs: number;
  readonly ttlMs: number;
}): X509Svid {
  const { root, id, nowMs } = options;
  const issuer = readCertificate(root.certificate);
  checkIssuable(issuer, id, nowMs);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = spkiOf(publicKey);
  const der = signCertificate({
    issuer: parsed(issuer.subject),
    subject: sequence(),
    notBeforeMs: Math.max(nowMs - BACKDATE_MS, root.notBeforeMs),
    notAfterMs: Math.min(nowMs + options.ttlMs, root.notAfterMs),
    spki,
    extensions: [
      extension(OID.keyUsage, true, universal(Type.BITSTRING, DIGITAL_SIGNATURE)),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      extension(OID.subjectKeyId, false, octets(keyIdOf(spki))),
      ...authorityKeyId(issuer),
      // The subject is empty, so the names are critical (X.509-SVID §3.1).
      extension(OID.subjectAltName, true, sequence(uri(id))),
    ],
    key: root.key,
  });
  const { notBeforeMs, notAfterMs } = readCertificate(der);
  const above = root.upstream === undefined ? [] : [root.certificate, ...root.upstream.chain];
  return { id, chain: [der, ...above], key: privateKey, notBeforeMs, notAfterMs };
}

/**
 * A self-signed server certificate for public TLS (an edge of the demo, or a first try): no SVID, trusted by whoever is
 * given it. `dnsNames` are LDH host names.
 */
export function selfSignedServerCertificate(options: {
  readonly dnsNames: readonly string[];
  readonly nowMs: number;
  readonly ttlMs: number;
}): { readonly certificate: Uint8Array; readonly key: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(nameAttribute(OID.organization, 'Jumpgate'));
  const names = options.dnsNames.map((name) => context(TAG.two, name));
  const certificate = signCertificate({
    issuer: subject,
    subject,
    notBeforeMs: options.nowMs - BACKDATE_MS,
    notAfterMs: options.nowMs + options.ttlMs,
    spki: spkiOf(publicKey),
    extensions: [
      extension(OID.keyUsage, true, universal(Type.BITSTRING, DIGITAL_SIGNATURE)),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
      extension(OID.subjectAltName, false, sequence(...names)),
    ],
    key: privateKey,
  });
  return { certificate, key: privateKey };
}

function checkIssuable(issuer: Certificate, id: SpiffeId, nowMs: number): void {
  const [rootId] = urisOf(issuer);
  let problem: string | undefined;
  if (pathOf(id) === '') problem = `an SVID needs an ID with a path, found ${id}`;
  else if (rootId === undefined || trustDomainOf(parseSpiffeId(rootId)) !== trustDomainOf(id)) {
    problem = `the root of ${rootId ?? 'no trust domain'} issues no SVID for ${id}`;
  } else if (nowMs > issuer.notAfterMs) problem = 'the root has expired: rotate it';
  if (problem !== undefined) throw new JumpgateError('svid-refused', problem, { source: 'local' });
}

function signCertificate(parts: {
  readonly issuer: Node;
  readonly subject: Node;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly extensions: readonly Node[];
  readonly key: KeyObject;
}): Uint8Array {
  const { algorithm, digest } = signatureBy(parts.key);
  const tbs = sequence(
    constructedContext(TAG.zero, integer('\x02')),
    integer(binary(serialNumber())),
    algorithm,
    parts.issuer,
    sequence(time(parts.notBeforeMs), time(parts.notAfterMs)),
    parts.subject,
    parsed(parts.spki),
    constructedContext(TAG.three, sequence(...parts.extensions)),
  );
  const signature = sign(digest, toDer(tbs), parts.key);
  return toDer(sequence(tbs, algorithm, universal(Type.BITSTRING, `\x00${binary(signature)}`)));
}

/** The algorithm for signatures by `key`: the digest as node:crypto names it, and the AlgorithmIdentifier. */
function signatureBy(key: KeyObject): { readonly algorithm: Node; readonly digest: 'sha256' | 'sha384' | null } {
  if (key.asymmetricKeyType === 'rsa') {
    return { algorithm: sequence(oid(OID.rsaWithSha256), universal(Type.NULL, '')), digest: 'sha256' };
  }
  if (key.asymmetricKeyType === 'ed25519') return { algorithm: sequence(oid(OID.ed25519)), digest: null };
  if (key.asymmetricKeyDetails?.namedCurve === 'secp384r1') {
    return { algorithm: sequence(oid(OID.ecdsaWithSha384)), digest: 'sha384' };
  }
  return { algorithm: sequence(oid(OID.ecdsaWithSha256)), digest: 'sha256' };
}

function serialNumber(): Uint8Array {
  const serial = randomBytes(SERIAL_OCTETS);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/** None where the issuer is the certificate itself, or has no key identifier to name. */
function authorityKeyId(issuer: Certificate | undefined): readonly Node[] {
  const keyId = issuer?.extensions.subjectKeyId;
  if (keyId === undefined) return [];
  const named = context(TAG.zero, Buffer.from(keyId, 'hex').toString('latin1'));
  return [extension(OID.authorityKeyId, false, sequence(named))];
}

/** The leftmost 160 bits of SHA-256 over SubjectPublicKeyInfo (RFC 7093 §2). */
function keyIdOf(spki: Uint8Array): string {
  return binary(createHash('sha256').update(spki).digest().subarray(0, 20));
}

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ format: 'der', type: 'spki' });
}

/** UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5), in whole seconds. */
function time(ms: number): Node {
  const digits = `${new Date(ms)
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[^0-9]/g, '')}Z`;
  if (digits >= '2050') return universal(Type.GENERALIZEDTIME, digits);
  return universal(Type.UTCTIME, digits.slice(2));
}

function extension(id: string, critical: boolean, value: Node): Node {
  const wrapped = octets(asn1.toDer(value).getBytes());
  return critical ? sequence(oid(id), boolean(true), wrapped) : sequence(oid(id), wrapped);
}

function nameAttribute(id: string, text: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, [sequence(oid(id), universal(Type.UTF8, text))]);
}

function sequence(...nodes: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, nodes);
}

function universal(type: forge.asn1.Type, content: string): Node {
  return asn1.create(Class.UNIVERSAL, type, false, content);
}

function oid(id: string): Node {
  return universal(Type.OID, asn1.oidToDer(id).getBytes());
}

function integer(content: string): Node {
  return universal(Type.INTEGER, content);
}

function boolean(value: boolean): Node {
  return universal(Type.BOOLEAN, value ? '\xff' : '\x00');
}

function octets(content: string): Node {
  return universal(Type.OCTETSTRING, content);
}

function uri(text: string): Node {
  return context(TAG.six, text);
}

function context(tag: forge.asn1.Type, content: string): Node {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, false, content);
}

function constructedContext(tag: forge.asn1.Type, inner: Node): Node {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [inner]);
}

function parsed(der: Uint8Array): Node {
  return asn1.fromDer(binary(der));
}

function toDer(node: Node): Uint8Array {
  return new Uint8Array(Buffer.from(asn1.toDer(node).getBytes(), 'latin1'));
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
