/** A small certificate factory for tests: honest certificates by default, any hostile shape by override. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { der, derBits, derOidOf, derSequenceOf, derText, derTimeOf, derTrue } from './der-writer.ts';

/** The instant that certificates are made at unless told otherwise. */
export const TEST_NOW_MS = Date.parse('2027-03-01T12:00:00Z');

/** Bits of KeyUsage, first octet. */
export const usage = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 } as const;

/** OIDs that overrides need. */
export const oids = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha1: '1.2.840.10045.4.1',
  rsaSha256: '1.2.840.113549.1.1.11',
  rsaSha1: '1.2.840.113549.1.1.5',
  ed25519: '1.3.101.112',
} as const;

/** An extension as it stands in a certificate. */
export interface TestExtension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

/** What may differ from the honest certificate; `null` leaves the extension out. */
export interface CertificateOverrides {
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Common name of the subject; '' is the empty subject. */
  readonly commonName?: string;
  readonly ca?: boolean | null;
  readonly pathLength?: number;
  readonly keyUsage?: number | null;
  readonly keyUsageCritical?: boolean;
  readonly extendedKeyUsage?: readonly string[] | null;
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly sanCritical?: boolean;
  /** URI constraints: hosts, or `.host` for what is below. */
  readonly permittedUris?: readonly string[];
  readonly excludedUris?: readonly string[];
  readonly permittedDns?: readonly string[];
  /** Lower-case hex; `null` leaves it out. */
  readonly subjectKeyId?: string | null;
  readonly authorityKeyId?: string | null;
  readonly extraExtensions?: readonly TestExtension[];
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  /** SubjectPublicKeyInfo instead of that of `keys`. */
  readonly spki?: Uint8Array;
  readonly serial?: Uint8Array;
  /** OID and digest of the signature; by default what fits the issuer's key. */
  readonly signature?: { readonly oid: string; readonly digest: string | null; readonly parameters?: Uint8Array };
  /** Rewrites the DER when all is done: truncation, flipped bits. */
  readonly mutate?: (der: Uint8Array) => Uint8Array;
}

/** A CA certificate with its key, and the CA certificates between it and its root. */
export interface TestAuthority {
  readonly trustDomain: TrustDomain;
  readonly certificate: Uint8Array;
  readonly fingerprint: string;
  readonly key: KeyObject;
  readonly subject: Uint8Array;
  readonly keyId: string | undefined;
  /** What an SVID's chain carries above the leaf: empty for a root. */
  readonly intermediates: readonly Uint8Array[];
}

/** A self-signed root of `trustDomain`. */
export function testRoot(trustDomain: string, overrides: CertificateOverrides = {}): TestAuthority {
  return makeAuthority(trustDomain, undefined, overrides);
}

/** A CA certificate signed by `parent`. */
export function testIntermediate(parent: TestAuthority, overrides: CertificateOverrides = {}): TestAuthority {
  return makeAuthority(parent.trustDomain, parent, overrides);
}

/** An SVID for `id` signed by `root`, which may be an intermediate; its key is in it. */
export function testSvid(root: TestAuthority, id: string, overrides: CertificateOverrides = {}): X509Svid {
  const made = makeCertificate(root, {
    commonName: '',
    ca: null,
    keyUsage: usage.digitalSignature,
    extendedKeyUsage: [oids.serverAuth, oids.clientAuth],
    uris: [id],
    notAfterMs: TEST_NOW_MS + 3_600_000,
    ...overrides,
  });
  return {
    id: idOf(id),
    chain: [made.certificate, ...root.intermediates],
    key: made.key,
    notBeforeMs: overrides.notBeforeMs ?? TEST_NOW_MS - 600_000,
    notAfterMs: overrides.notAfterMs ?? TEST_NOW_MS + 3_600_000,
  };
}

/** The bundle of the first root's trust domain, or of `trustDomain`, with these roots in it. */
export function testBundle(roots: readonly TestAuthority[], overrides: Partial<Bundle> = {}): Bundle {
  return {
    trustDomain: roots[0]?.trustDomain ?? parseTrustDomain('empty.test'),
    x509Authorities: roots.map((root) => ({ der: root.certificate, fingerprint: root.fingerprint })),
    jwtAuthorities: [],
    sequence: 1n,
    refreshHintSeconds: 300,
    ...overrides,
  };
}

/** Bundles by trust domain, one root each. */
export function testBundles(...roots: readonly TestAuthority[]): ReadonlyMap<TrustDomain, Bundle> {
  return new Map(roots.map((root) => [root.trustDomain, testBundle([root])]));
}

/** A key pair on P-256. */
export function testKeys(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function makeAuthority(
  trustDomain: string,
  parent: TestAuthority | undefined,
  overrides: CertificateOverrides,
): TestAuthority {
  const made = makeCertificate(parent, {
    commonName: `test ca ${randomBytes(8).toString('hex')}`,
    ca: true,
    keyUsage: usage.keyCertSign,
    uris: [`spiffe://${trustDomain}`],
    sanCritical: false,
    notAfterMs: TEST_NOW_MS + 86_400_000,
    ...overrides,
  });
  return {
    trustDomain: parseTrustDomain(trustDomain),
    certificate: made.certificate,
    fingerprint: createHash('sha256').update(made.certificate).digest('hex'),
    key: made.key,
    subject: made.subject,
    keyId: made.keyId,
    intermediates: parent === undefined ? [] : [made.certificate, ...parent.intermediates],
  };
}

function makeCertificate(
  issuer: TestAuthority | undefined,
  shape: CertificateOverrides,
): { certificate: Uint8Array; key: KeyObject; subject: Uint8Array; keyId: string | undefined } {
  const keys = shape.keys ?? testKeys();
  const spki = shape.spki ?? keys.publicKey.export({ format: 'der', type: 'spki' });
  const subject = nameOf(shape.commonName ?? '');
  const keyId =
    shape.subjectKeyId === undefined
      ? createHash('sha256').update(spki).digest('hex').slice(0, 40)
      : (shape.subjectKeyId ?? undefined);
  const signer = issuer?.key ?? keys.privateKey;
  const signature = shape.signature ?? defaultSignature(signer);
  const algorithm = derSequenceOf(derOidOf(signature.oid), signature.parameters ?? Buffer.alloc(0));
  const tbs = derSequenceOf(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, shape.serial ?? Buffer.concat([Buffer.from([0x42]), randomBytes(15)])),
    algorithm,
    issuer?.subject ?? subject,
    derSequenceOf(
      derTimeOf(shape.notBeforeMs ?? TEST_NOW_MS - 600_000),
      derTimeOf(shape.notAfterMs ?? TEST_NOW_MS + 3_600_000),
    ),
    subject,
    spki,
    der(0xa3, derSequenceOf(...extensionsOf(shape, keyId, issuer).map(encodeExtension))),
  );
  const signed = derSequenceOf(tbs, algorithm, derBits(sign(signature.digest, tbs, signer)));
  return { certificate: new Uint8Array(shape.mutate?.(signed) ?? signed), key: keys.privateKey, subject, keyId };
}

function extensionsOf(
  shape: CertificateOverrides,
  keyId: string | undefined,
  issuer: TestAuthority | undefined,
): readonly TestExtension[] {
  const list: TestExtension[] = [];
  const add = (oid: string, critical: boolean, value: Uint8Array): void => void list.push({ oid, critical, value });
  if (typeof shape.ca === 'boolean') {
    const limit = shape.pathLength === undefined ? [] : [der(0x02, Buffer.from([shape.pathLength]))];
    add('2.5.29.19', true, derSequenceOf(...(shape.ca ? [derTrue()] : []), ...limit));
  }
  if (typeof shape.keyUsage === 'number') {
    add('2.5.29.15', shape.keyUsageCritical ?? true, derBits(Buffer.from([shape.keyUsage])));
  }
  if (shape.extendedKeyUsage !== null && shape.extendedKeyUsage !== undefined) {
    add('2.5.29.37', false, derSequenceOf(...shape.extendedKeyUsage.map(derOidOf)));
  }
  list.push(...nameExtensions(shape));
  if (keyId !== undefined) add('2.5.29.14', false, der(0x04, Buffer.from(keyId, 'hex')));
  const authorityKeyId = shape.authorityKeyId === undefined ? issuer?.keyId : (shape.authorityKeyId ?? undefined);
  if (authorityKeyId !== undefined) {
    add('2.5.29.35', false, derSequenceOf(der(0x80, Buffer.from(authorityKeyId, 'hex'))));
  }
  return [...list, ...(shape.extraExtensions ?? [])];
}

function nameExtensions(shape: CertificateOverrides): readonly TestExtension[] {
  const list: TestExtension[] = [];
  const add = (oid: string, critical: boolean, value: Uint8Array): void => void list.push({ oid, critical, value });
  const names = [
    ...(shape.uris ?? []).map((uri) => derText(0x86, uri)),
    ...(shape.dns ?? []).map((name) => derText(0x82, name)),
  ];
  if (names.length > 0) add('2.5.29.17', shape.sanCritical ?? shape.commonName === '', derSequenceOf(...names));
  const permitted = [
    ...(shape.permittedUris ?? []).map((uri) => derSequenceOf(derText(0x86, uri))),
    ...(shape.permittedDns ?? []).map((name) => derSequenceOf(derText(0x82, name))),
  ];
  const excluded = (shape.excludedUris ?? []).map((uri) => derSequenceOf(derText(0x86, uri)));
  if (permitted.length + excluded.length > 0) {
    const trees = [permitted, excluded].flatMap((tree, index) => (tree.length > 0 ? [der(0xa0 + index, ...tree)] : []));
    add('2.5.29.30', true, derSequenceOf(...trees));
  }
  return list;
}

function encodeExtension({ oid, critical, value }: TestExtension): Uint8Array {
  return derSequenceOf(derOidOf(oid), critical === true ? derTrue() : Buffer.alloc(0), der(0x04, value));
}

function defaultSignature(key: KeyObject): { oid: string; digest: string | null; parameters?: Uint8Array } {
  if (key.asymmetricKeyType === 'rsa') return { oid: oids.rsaSha256, digest: 'sha256', parameters: der(0x05) };
  if (key.asymmetricKeyType === 'ed25519') return { oid: oids.ed25519, digest: null };
  return { oid: oids.ecdsaSha256, digest: 'sha256' };
}

function nameOf(commonName: string): Uint8Array {
  if (commonName === '') return derSequenceOf();
  return derSequenceOf(der(0x31, derSequenceOf(derOidOf('2.5.4.3'), derText(0x0c, commonName))));
}

/** Hostile SVIDs claim IDs that no parser admits; their `id` field is then a stand-in that nothing should read. */
function idOf(id: string): SpiffeId {
  try {
    return parseSpiffeId(id);
  } catch {
    return parseSpiffeId('spiffe://hostile.test/claim');
  }
}
