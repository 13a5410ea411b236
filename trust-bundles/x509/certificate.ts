/** An X.509 certificate, read by our own strict DER reader: only the fields that decide about trust (RFC 5280 §4.1). */
import { hash, type KeyObject, X509Certificate } from 'node:crypto';

import {
  derBitString,
  type DerElement,
  derElement,
  derIntegerOctets,
  derOid,
  DerReader,
  derSequence,
  derTag,
  derTime,
} from '../../base/der.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { trustDomainOf, trySpiffeId } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Extensions, type GeneralName, readExtensions } from './extensions.ts';
import { type PublicKey, readPublicKey } from './public-key.ts';

/** AlgorithmIdentifier of the signature. */
export interface SignatureAlgorithm {
  readonly oid: string;
  /** `other` is whatever is neither absent nor NULL. */
  readonly parameters: 'absent' | 'null' | 'other';
}

/** A parsed certificate of version 3. Nothing in it is verified; byte fields are views of `der`. */
export interface Certificate {
  readonly der: Uint8Array;
  /** SHA-256 over `der`, lower-case hex. */
  readonly fingerprint: string;
  /** Lower-case hex of the INTEGER's content. */
  readonly serial: string;
  /** Distinguished names, DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970, both inclusive. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: PublicKey;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly extensions: Extensions;
  /** What the issuer signed, and how. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

/** RFC 5280 §4.1.2.2; a leading zero octet may come on top. */
const SERIAL_OCTETS_MAX = 21;
/** X.509-SVIDs are some hundred octets; spiffe.md section 4 allows 16 KiB. */
const CERTIFICATE_OCTETS_MAX = 16 * 1024;
/** Versions count from zero. */
const VERSION_3 = 2;
const EMPTY_NAME_OCTETS = 2;
const CONTEXT_CONSTRUCTED = 0xa0;

/**
 * Reads one certificate of version 3 in strict DER, of at most 16 KiB. What decisions need is checked for form here
 * (times, integers, extensions, equal inner and outer signature algorithm) and for content by `verify`.
 * Throws `certificate-malformed` (source peer).
 */
export function readCertificate(der: Uint8Array): Certificate {
  if (der.length > CERTIFICATE_OCTETS_MAX) {
    throw malformed(`expected at most ${CERTIFICATE_OCTETS_MAX} octets, found ${der.length}`);
  }
  try {
    return readParts(der);
  } catch (error) {
    if (!(error instanceof JumpgateError)) throw error;
    throw error.code === 'certificate-malformed' ? error : malformed(messageOf(error), error);
  }
}

/** As {@link readCertificate}, or `undefined` for what is none. */
export function tryCertificate(der: Uint8Array): Certificate | undefined {
  try {
    return readCertificate(der);
  } catch {
    return undefined;
  }
}

/**
 * The public key for node:crypto, or `undefined` when OpenSSL refuses it (a point off the curve, say). It is taken from
 * the whole certificate, which costs two thirds of what importing SubjectPublicKeyInfo does.
 */
export function importPublicKey(certificate: Certificate): KeyObject | undefined {
  try {
    return new X509Certificate(certificate.der).publicKey;
  } catch {
    return undefined;
  }
}

/** SHA-256 over SubjectPublicKeyInfo, lower-case hex: the same for every certificate of one key. */
export function keyFingerprintOf(certificate: Certificate): string {
  return hash('sha256', certificate.spki);
}

/** The URIs among the subject alternative names, octet for octet. */
export function urisOf(certificate: Certificate): readonly string[] {
  return namesOf(certificate)
    .filter((name) => name.form === 'uniformResourceIdentifier')
    .map((name) => name.text);
}

/** All subject alternative names. */
export function namesOf(certificate: Certificate): readonly GeneralName[] {
  return certificate.extensions.subjectAltName?.names ?? [];
}

/** Whether the subject is the empty distinguished name. */
export function hasEmptySubject(certificate: Certificate): boolean {
  return certificate.subject.length === EMPTY_NAME_OCTETS;
}

/**
 * The SPIFFE ID of an authority that belongs to another trust domain than `trustDomain` or is malformed, if it has one.
 * X.509-SVID §3.2 leaves it open to accept them; we do not.
 */
export function foreignIdOf(authority: Certificate, trustDomain: TrustDomain): string | undefined {
  for (const uri of urisOf(authority)) {
    if (!/^spiffe:/i.test(uri)) continue;
    const id = trySpiffeId(uri);
    if (id === undefined || trustDomainOf(id) !== trustDomain) return uri.slice(0, 256);
  }
  return undefined;
}

function readParts(der: Uint8Array): Certificate {
  const outer = derSequence(der, 'certificate');
  const signed = outer.next(derTag.sequence);
  const algorithm = outer.next(derTag.sequence);
  const signature = derBitString(outer.next(derTag.bitString));
  outer.end();
  if (signature.unusedBits !== 0) throw malformed('signature is not whole octets');

  const tbs = new DerReader(signed.content, 'certificate');
  readVersion(tbs);
  const serial = readSerial(tbs.next(derTag.integer));
  if (Buffer.compare(tbs.next(derTag.sequence).whole, algorithm.whole) !== 0) {
    throw malformed('the signature algorithm inside differs from the one outside');
  }
  const issuer = readName(tbs.next(derTag.sequence));
  if (issuer.length === EMPTY_NAME_OCTETS) throw malformed('empty issuer');
  const validity = new DerReader(tbs.next(derTag.sequence).content, 'validity');
  const notBeforeMs = derTime(validity.next());
  const notAfterMs = derTime(validity.next());
  validity.end();
  const subject = readName(tbs.next(derTag.sequence));
  const spki = tbs.next(derTag.sequence).whole;
  const extensions = tbs.optional(CONTEXT_CONSTRUCTED | 3);
  // Unique identifiers ([1], [2]) would stand before the extensions: RFC 5280 §4.1.2.8 forbids them.
  tbs.end();
  return {
    der,
    fingerprint: hash('sha256', der),
    serial,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    publicKey: readPublicKey(spki),
    spki,
    extensions: extensions === undefined ? { unknownCritical: [] } : readExtensions(extensions.content),
    tbs: signed.whole,
    signatureAlgorithm: readAlgorithm(algorithm),
    signature: signature.bytes,
  };
}

function readVersion(tbs: DerReader): void {
  const version = tbs.optional(CONTEXT_CONSTRUCTED);
  if (version === undefined) throw malformed('expected version 3, found version 1');
  const octets = derIntegerOctets(derElement(version.content, derTag.integer, 'version'));
  if (octets.length !== 1 || octets[0] !== VERSION_3) throw malformed('expected version 3, found another');
}

function readSerial(element: DerElement): string {
  // Zero is tolerated (old SPIRE roots carry it), negative numbers are not.
  if ((derIntegerOctets(element)[0] ?? 0) >= 0x80) throw malformed('negative serial number');
  if (element.content.length > SERIAL_OCTETS_MAX) throw malformed('serial number longer than 20 octets');
  return Buffer.from(element.content).toString('hex');
}

/** Names are compared octet for octet; only their outer form is checked. */
function readName(element: DerElement): Uint8Array {
  const sets = new DerReader(element.content, 'distinguished name');
  while (!sets.done) {
    const attributes = new DerReader(sets.next(derTag.set).content, 'distinguished name');
    if (attributes.done) throw malformed('empty part of a distinguished name');
    while (!attributes.done) {
      const attribute = new DerReader(attributes.next(derTag.sequence).content, 'distinguished name');
      derOid(attribute.next(derTag.oid));
      attribute.next();
      attribute.end();
    }
  }
  return element.whole;
}

function readAlgorithm(element: DerElement): SignatureAlgorithm {
  const fields = new DerReader(element.content, 'signature algorithm');
  const oid = derOid(fields.next(derTag.oid));
  if (fields.done) return { oid, parameters: 'absent' };
  const parameters = fields.next();
  fields.end();
  const isNull = parameters.tag === derTag.null && parameters.content.length === 0;
  return { oid, parameters: isNull ? 'null' : 'other' };
}

function malformed(problem: string, cause?: unknown): JumpgateError {
  const message = `malformed certificate: ${problem}`;
  return new JumpgateError('certificate-malformed', message, { source: 'peer', cause });
}
