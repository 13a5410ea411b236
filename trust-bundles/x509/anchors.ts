/** Anchors in the containers that enterprises hand over: certificates in PEM, DER, PKCS#7 (RFC 5652) and PKCS#12 (RFC 7292). */
import { createHmac, randomBytes } from 'node:crypto';

import forge from 'node-forge';

import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { certificatesFromPem, certificatesToPem } from './pem.ts';

/** How anchors stand in a file that is no SPIFFE bundle. */
export type AnchorFormat = 'pem' | 'der' | 'pkcs7' | 'pkcs12';

/** What a file holds. */
export interface ReadAnchors {
  readonly format: AnchorFormat;
  /** DER, in their order, each once. */
  readonly anchors: readonly Uint8Array[];
  /** Subjects' certificates that are no CA's: of a key pair, or of the rest of its chain. */
  readonly leftOut: number;
}

/** As for bundles (security.md I12). */
const CONTAINER_BYTES_MAX = 1024 * 1024;
const CERTIFICATES_MAX = 256;
/** OpenSSL writes 2,048 and Java 10,000; each round is some microseconds of ours, and the file says how many. */
const ROUNDS_MAX = 1_000_000;
const PEM_CONTAINER = /-----BEGIN (PKCS7|CMS)-----([A-Za-z0-9+/=\s]*)-----END \1-----/;

/** Object identifiers as they are encoded, in hexadecimal. */
const OID = {
  data: '2a864886f70d010701',
  signedData: '2a864886f70d010702',
  certBag: '2a864886f70d010c0a0103',
  x509Certificate: '2a864886f70d01091601',
  friendlyName: '2a864886f70d010914',
  /** Java takes a certificate for an anchor only where it says so (JDK-8044445), and this is any purpose. */
  trustedKeyUsage: '6086480186f966adca7b0101',
  anyExtendedKeyUsage: '551d2500',
  sha256: '608648016503040201',
} as const;

const VERSION_1 = tlv(0x02, Buffer.from([1]));
const VERSION_3 = tlv(0x02, Buffer.from([3]));
const SALT_OCTETS = 16;
const WRITTEN_ROUNDS = 10_000;
/** The purpose "MAC" of RFC 7292 Appendix B.3. */
const MAC_KEY = 3;
const SHA256_OCTETS = 32;

const { asn1, pki } = forge;
const { Class, Type } = asn1;
type Node = forge.asn1.Asn1;

/**
 * Reads the anchors of a file, whose format is seen from its bytes. `password` is asked for by PKCS#12 alone. Throws
 * `anchors-malformed` (source config) for what is none of the formats, is cut short or too large, holds no certificate of
 * a CA or one that is not strict DER, and for a wrong password; `what` names the file.
 */
export function readAnchors(bytes: Uint8Array, what: string, password = ''): ReadAnchors {
  if (bytes.length > CONTAINER_BYTES_MAX) throw malformed(what, `at most ${CONTAINER_BYTES_MAX} bytes`, bytes.length);
  const text = binary(bytes);
  const wrapped = PEM_CONTAINER.exec(text)?.[2];
  if (wrapped !== undefined)
    return chosen('pkcs7', fromPkcs7(parsed(binary(Buffer.from(wrapped, 'base64')), what), what), what);
  if (text.includes('-----BEGIN ')) return chosen('pem', certificatesFromPem(text, what), what);
  const container = parsed(text, what);
  const [first] = childrenOf(container);
  if (first?.type === Type.OID) return chosen('pkcs7', fromPkcs7(container, what), what);
  if (first?.type === Type.INTEGER) return chosen('pkcs12', fromPkcs12(container, what, password), what);
  return chosen('der', [bytes], what);
}

/**
 * Writes anchors. PKCS#7 holds certificates alone and signs nothing; PKCS#12 is a trust store that Java reads too, with a
 * MAC under `password` and nothing encrypted, since nothing in it is secret. Throws `anchors-unwritable` (source caller)
 * for none at all, for more than one in DER, and for PKCS#12 without a password.
 */
export function writeAnchors(format: AnchorFormat, anchors: readonly Uint8Array[], password = ''): Uint8Array {
  const [only, second] = anchors;
  if (only === undefined) throw unwritable('expected at least one anchor to write, found none');
  switch (format) {
    case 'pem':
      return Buffer.from(certificatesToPem(anchors));
    case 'der':
      if (second === undefined) return only;
      throw unwritable(`expected one anchor for DER, which holds one certificate, found ${anchors.length}: choose pem`);
    case 'pkcs7':
      return pkcs7Of(anchors);
    case 'pkcs12':
      if (!/^[\x20-\x7e]+$/.test(password)) throw unwritable('expected a password of ASCII for PKCS#12');
      return pkcs12Of(anchors, password);
    default:
      return format satisfies never;
  }
}

function chosen(format: AnchorFormat, certificates: readonly Uint8Array[], what: string): ReadAnchors {
  if (certificates.length > CERTIFICATES_MAX)
    throw malformed(what, `at most ${CERTIFICATES_MAX} certificates`, certificates.length);
  const read = certificates.map((der, index) => strict(der, `certificate ${index + 1} of ${what}`));
  const authorities = read.filter(({ extensions }) => extensions.basicConstraints?.ca === true);
  const anchors = new Map(authorities.map(({ fingerprint, der }) => [fingerprint, der]));
  if (anchors.size === 0) throw malformed(what, 'the certificate of a CA', `${read.length} of others`);
  return { format, anchors: [...anchors.values()], leftOut: read.length - authorities.length };
}

function strict(der: Uint8Array, what: string): Certificate {
  try {
    return readCertificate(der);
  } catch (cause) {
    throw malformed(what, 'a certificate in strict DER', messageOf(cause), cause);
  }
}

/** ContentInfo { signedData, [0] SignedData { version, digestAlgorithms, contentInfo, [0] certificates, ... } }. */
function fromPkcs7(container: Node, what: string): readonly Uint8Array[] {
  const [type, content] = childrenOf(container);
  const [signedData] = content === undefined ? [] : childrenOf(content);
  if (type === undefined || oidOf(type) !== pki.oids['signedData'] || signedData === undefined)
    throw malformed(what, 'PKCS#7 signed data', 'content of another type');
  const certificates = childrenOf(signedData).find(isTagged0);
  return (certificates === undefined ? [] : childrenOf(certificates)).map(derOf);
}

function fromPkcs12(container: Node, what: string, password: string): readonly Uint8Array[] {
  // RFC 7292 spells a password in UTF-16 and its PBES2 in UTF-8: node-forge has one spelling for both.
  if (!/^[\x20-\x7e]*$/.test(password)) throw malformed(what, 'a password of ASCII', 'another character in it');
  const rounds = roundsOf(container);
  if (rounds > ROUNDS_MAX) throw malformed(what, `at most ${ROUNDS_MAX} rounds of key derivation`, rounds);
  try {
    const { safeContents } = forge.pkcs12.pkcs12FromAsn1(container, true, password);
    const bags = safeContents.flatMap(({ safeBags }) => safeBags).filter(({ type }) => type === pki.oids['certBag']);
    return bags.map((bag) => derOf(certificateOf(bag)));
  } catch (cause) {
    throw malformed(what, 'PKCS#12 that its password opens', messageOf(cause), cause);
  }
}

/** node-forge reads RSA certificates alone, and keeps the others as they stand. */
function certificateOf({ cert, asn1: read }: forge.pkcs12.Bag): Node {
  return cert ? pki.certificateToAsn1(cert) : read;
}

/** The largest count of rounds that a container asks for: an INTEGER behind its salt, as deep as nothing is encrypted. */
function roundsOf(node: Node): number {
  let largest = 0;
  const children = childrenOf(node);
  for (const [index, each] of children.entries()) {
    const isCount = each.type === Type.INTEGER && children[index - 1]?.type === Type.OCTETSTRING;
    if (isCount && typeof each.value === 'string') {
      const rounds = Number.parseInt(Buffer.from(each.value, 'latin1').toString('hex'), 16);
      largest = Math.max(largest, rounds);
    }
    largest = Math.max(largest, roundsOf(each));
    const inner = each.type === Type.OCTETSTRING && typeof each.value === 'string' ? tryParsed(each.value) : undefined;
    if (inner !== undefined) largest = Math.max(largest, roundsOf(inner));
  }
  return largest;
}

function parsed(text: string, what: string): Node {
  try {
    return asn1.fromDer(text, true);
  } catch (cause) {
    throw malformed(what, 'certificates as PEM, DER, PKCS#7 or PKCS#12', messageOf(cause), cause);
  }
}

function tryParsed(text: string): Node | undefined {
  try {
    return asn1.fromDer(text, true);
  } catch {
    return undefined;
  }
}

function childrenOf(node: Node): readonly Node[] {
  return typeof node.value === 'string' ? [] : node.value;
}

/** [0], whose number node-forge types as a universal one. */
function isTagged0({ tagClass, type }: Node): boolean {
  return tagClass === Class.CONTEXT_SPECIFIC && type === Type.NONE;
}

function oidOf({ type, value }: Node): string | undefined {
  return type === Type.OID && typeof value === 'string' ? asn1.derToOid(value) : undefined;
}

function derOf(node: Node): Uint8Array {
  return new Uint8Array(Buffer.from(asn1.toDer(node).getBytes(), 'latin1'));
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function pkcs7Of(anchors: readonly Uint8Array[]): Uint8Array {
  const signed = sequence(VERSION_1, set(), sequence(oid(OID.data)), tlv(0xa0, ...anchors), set());
  return sequence(oid(OID.signedData), tlv(0xa0, signed));
}

function pkcs12Of(anchors: readonly Uint8Array[], password: string): Uint8Array {
  const bags = anchors.map((der, index) => {
    const certificate = sequence(oid(OID.x509Certificate), tlv(0xa0, octets(der)));
    const name = tlv(0x1e, Buffer.from(`anchor ${index + 1}`, 'utf16le').swap16());
    const named = sequence(oid(OID.friendlyName), set(name));
    const trusted = sequence(oid(OID.trustedKeyUsage), set(oid(OID.anyExtendedKeyUsage)));
    return sequence(oid(OID.certBag), tlv(0xa0, certificate), set(named, trusted));
  });
  const safe = sequence(dataOf(sequence(...bags)));
  const salt = randomBytes(SALT_OCTETS);
  const buffer = forge.util.createBuffer(binary(salt));
  const md = forge.md.sha256.create();
  const key = forge.pkcs12.generateKey(password, buffer, MAC_KEY, WRITTEN_ROUNDS, SHA256_OCTETS, md);
  const mac = createHmac('sha256', Buffer.from(key.getBytes(), 'latin1')).update(safe).digest();
  const digest = sequence(sequence(oid(OID.sha256), tlv(0x05)), octets(mac));
  const rounds = tlv(0x02, Buffer.from(WRITTEN_ROUNDS.toString(16).padStart(4, '0'), 'hex'));
  return sequence(VERSION_3, dataOf(safe), sequence(digest, octets(salt), rounds));
}

function dataOf(content: Uint8Array): Uint8Array {
  return sequence(oid(OID.data), tlv(0xa0, octets(content)));
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return tlv(0x30, ...parts);
}

/** DER orders the members of a SET OF by their encodings (X.690 §11.6). */
function set(...parts: readonly Uint8Array[]): Uint8Array {
  return tlv(0x31, ...parts.toSorted((one, other) => Buffer.compare(one, other)));
}

function oid(hex: string): Uint8Array {
  return tlv(0x06, Buffer.from(hex, 'hex'));
}

function octets(content: Uint8Array): Uint8Array {
  return tlv(0x04, content);
}

/** One element of DER: identifier octet, length, content. */
function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

function malformed(what: string, expected: string, found: string | number, cause?: unknown): JumpgateError {
  const message = `expected ${expected} in ${what}, found: ${found}`;
  return new JumpgateError('anchors-malformed', message, { source: 'config', cause });
}

function unwritable(message: string): JumpgateError {
  return new JumpgateError('anchors-unwritable', message, { source: 'caller' });
}
