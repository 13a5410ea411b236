/** The certificate extensions that verification reads (RFC 5280 §4.2.1), strictly. */
import {
  derBitString,
  derBoolean,
  type DerElement,
  derElement,
  derInteger,
  derOid,
  DerReader,
  derSequence,
  derTag,
} from '../../base/der.ts';
import { JumpgateError } from '../../base/errors.ts';

/** Forms of GeneralName, by context tag number (RFC 5280 §4.2.1.6). */
export type NameForm =
  | 'otherName'
  | 'rfc822Name'
  | 'dNSName'
  | 'x400Address'
  | 'directoryName'
  | 'ediPartyName'
  | 'uniformResourceIdentifier'
  | 'iPAddress'
  | 'registeredID';

/** One alternative name: its form, and its content octets as Latin-1 (so that foreign octets stay visible to parsers). */
export interface GeneralName {
  readonly form: NameForm;
  readonly text: string;
}

/** Bits of KeyUsage that decisions look at (RFC 5280 §4.2.1.3). */
export interface KeyUsage {
  readonly critical: boolean;
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly crlSign: boolean;
}

/** What a certificate's extensions say; what is absent in it is absent here. */
export interface Extensions {
  readonly basicConstraints?: { readonly ca: boolean; readonly pathLength?: number };
  readonly keyUsage?: KeyUsage;
  /** OIDs of key purposes. */
  readonly extendedKeyUsage?: readonly string[];
  readonly subjectAltName?: { readonly critical: boolean; readonly names: readonly GeneralName[] };
  readonly nameConstraints?: { readonly permitted: readonly GeneralName[]; readonly excluded: readonly GeneralName[] };
  /** Lower-case hex. */
  readonly subjectKeyId?: string;
  readonly authorityKeyId?: string;
  /** OIDs of critical extensions that are not read here, so that the certificate must be refused (RFC 5280 §4.2). */
  readonly unknownCritical: readonly string[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Read = (into: Mutable<Extensions>, value: Uint8Array, critical: boolean) => void;

/** No honest certificate comes near it; duplicates are searched in what is kept. */
const EXTENSIONS_MAX = 64;
/** A certificate for more names than this is not one workload's. */
const NAMES_MAX = 256;
/** CA/Browser roots nest a handful; beyond this a limit means no more than none. */
const PATH_LENGTH_MAX = 255n;

const FORMS: readonly { readonly form: NameForm; readonly constructed: boolean }[] = [
  { form: 'otherName', constructed: true },
  { form: 'rfc822Name', constructed: false },
  { form: 'dNSName', constructed: false },
  { form: 'x400Address', constructed: true },
  { form: 'directoryName', constructed: true },
  { form: 'ediPartyName', constructed: true },
  { form: 'uniformResourceIdentifier', constructed: false },
  { form: 'iPAddress', constructed: false },
  { form: 'registeredID', constructed: false },
];

const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

const READERS: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['2.5.29.14', (into, value) => (into.subjectKeyId = hexOf(derElement(value, derTag.octetString, 'key id').content))],
  ['2.5.29.15', (into, value, critical) => (into.keyUsage = readKeyUsage(value, critical))],
  ['2.5.29.17', (into, value, critical) => (into.subjectAltName = { critical, names: readNames(value) })],
  ['2.5.29.19', (into, value) => (into.basicConstraints = readBasicConstraints(value))],
  ['2.5.29.30', (into, value) => (into.nameConstraints = readNameConstraints(value))],
  ['2.5.29.35', readAuthorityKeyId],
  ['2.5.29.37', (into, value) => (into.extendedKeyUsage = readExtendedKeyUsage(value))],
]);

/** Reads the Extensions SEQUENCE. An extension that stands twice is refused (§4.2). Throws `der-malformed`. */
export function readExtensions(der: Uint8Array): Extensions {
  const list = derSequence(der, 'extensions');
  const seen = new Set<string>();
  const unknownCritical: string[] = [];
  const extensions: Mutable<Extensions> = { unknownCritical };
  if (list.done) throw malformed('extensions', 'empty');
  while (!list.done) {
    const extension = new DerReader(list.next(derTag.sequence).content, 'extension');
    const oid = derOid(extension.next(derTag.oid));
    const critical = readDefaultFalse(extension);
    const value = extension.next(derTag.octetString).content;
    extension.end();
    if (seen.has(oid)) throw malformed('extensions', `${oid} stands twice`);
    seen.add(oid);
    if (seen.size > EXTENSIONS_MAX) throw malformed('extensions', `more than ${EXTENSIONS_MAX}`);
    const read = READERS.get(oid);
    if (read !== undefined) read(extensions, value, critical);
    else if (critical) unknownCritical.push(oid);
  }
  return extensions;
}

function readKeyUsage(der: Uint8Array, critical: boolean): KeyUsage {
  const { bytes } = derBitString(derElement(der, derTag.bitString, 'key usage'));
  const first = bytes[0] ?? 0;
  return {
    critical,
    digitalSignature: (first & 0x80) !== 0,
    keyCertSign: (first & 0x04) !== 0,
    crlSign: (first & 0x02) !== 0,
  };
}

function readBasicConstraints(der: Uint8Array): { readonly ca: boolean; readonly pathLength?: number } {
  const fields = derSequence(der, 'basic constraints');
  const ca = readDefaultFalse(fields);
  const limit = fields.optional(derTag.integer);
  fields.end();
  if (limit === undefined) return { ca };
  const pathLength = derInteger(limit);
  if (!ca || pathLength < 0n) throw malformed('basic constraints', 'path length below zero or without cA');
  return { ca, pathLength: Number(pathLength > PATH_LENGTH_MAX ? PATH_LENGTH_MAX : pathLength) };
}

function readExtendedKeyUsage(der: Uint8Array): readonly string[] {
  const list = derSequence(der, 'extended key usage');
  const purposes: string[] = [];
  while (!list.done) {
    if (purposes.length >= NAMES_MAX) throw malformed('extended key usage', `more than ${NAMES_MAX} purposes`);
    purposes.push(derOid(list.next(derTag.oid)));
  }
  if (purposes.length === 0) throw malformed('extended key usage', 'empty');
  return purposes;
}

function readAuthorityKeyId(into: Mutable<Extensions>, der: Uint8Array): void {
  const fields = derSequence(der, 'authority key id');
  const keyId = fields.optional(CONTEXT);
  fields.optional(CONTEXT | CONSTRUCTED | 1);
  fields.optional(CONTEXT | 2);
  fields.end();
  if (keyId !== undefined) into.authorityKeyId = hexOf(keyId.content);
}

function readNames(der: Uint8Array): readonly GeneralName[] {
  const list = derSequence(der, 'alternative names');
  const names: GeneralName[] = [];
  while (!list.done) {
    if (names.length >= NAMES_MAX) throw malformed('alternative names', `more than ${NAMES_MAX}`);
    names.push(readName(list.next()));
  }
  if (names.length === 0) throw malformed('alternative names', 'empty');
  return names;
}

function readNameConstraints(der: Uint8Array): NonNullable<Extensions['nameConstraints']> {
  const fields = derSequence(der, 'name constraints');
  const permitted = fields.optional(CONTEXT | CONSTRUCTED);
  const excluded = fields.optional(CONTEXT | CONSTRUCTED | 1);
  fields.end();
  if (permitted === undefined && excluded === undefined) throw malformed('name constraints', 'empty');
  return { permitted: readSubtrees(permitted), excluded: readSubtrees(excluded) };
}

function readSubtrees(element: DerElement | undefined): readonly GeneralName[] {
  if (element === undefined) return [];
  const list = new DerReader(element.content, 'name constraints');
  const names: GeneralName[] = [];
  while (!list.done) {
    if (names.length >= NAMES_MAX) throw malformed('name constraints', `more than ${NAMES_MAX}`);
    const subtree = new DerReader(list.next(derTag.sequence).content, 'name constraints');
    names.push(readName(subtree.next()));
    // RFC 5280 §4.2.1.10: minimum is zero (its default, hence absent in DER) and maximum absent.
    subtree.end();
  }
  if (names.length === 0) throw malformed('name constraints', 'empty subtrees');
  return names;
}

function readName({ tag, content }: DerElement): GeneralName {
  const kind = (tag & 0xc0) === CONTEXT ? FORMS[tag & 0x1f] : undefined;
  if (kind === undefined || ((tag & CONSTRUCTED) !== 0) !== kind.constructed) {
    throw malformed('general name', `unknown tag 0x${tag.toString(16)}`);
  }
  return { form: kind.form, text: Buffer.from(content).toString('latin1') };
}

/** BOOLEAN DEFAULT FALSE: DER leaves FALSE out (X.690 §11.5). */
function readDefaultFalse(fields: DerReader): boolean {
  const element = fields.optional(derTag.boolean);
  if (element === undefined) return false;
  if (!derBoolean(element)) throw malformed('BOOLEAN', 'a default value that is encoded');
  return true;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function malformed(what: string, problem: string): JumpgateError {
  return new JumpgateError('der-malformed', `malformed DER in ${what}: ${problem}`, { source: 'peer' });
}
