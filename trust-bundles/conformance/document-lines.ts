/** The lines about the document of a bundle endpoint: SPIFFE Trust Domain and Bundle §4, X.509-SVID §6, JWT-SVID §6. */
import { asList, asRecord } from '../../base/brand.ts';
import { messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { foreignIdOf, readCertificate } from '../x509/certificate.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { firstOf, quoted, type Verdict, verdict } from './line.ts';
import { rawMember } from './raw-member.ts';

type Members = Readonly<Record<string, unknown>>;

/** A document that is a JSON object. */
export interface ReadDocument {
  readonly text: string;
  readonly value: Members;
}

const DOCUMENT_BYTES_MAX = 1024 * 1024;
const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;
const SEQUENCE_MAX = 2n ** 64n - 1n;
const KEY_TYPES: readonly string[] = ['EC', 'RSA', 'OKP', 'AKP'];
const USES: readonly string[] = ['x509-svid', 'jwt-svid', 'wit-svid'];
/** RFC 7517 §4, RFC 7518 §6, RFC 8037 §2. */
const PRIVATE_MEMBERS: ReadonlySet<string> = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']);
const PUBLIC_MEMBERS: ReadonlySet<string> = new Set(
  'kty use key_ops alg kid x5u x5c x5t x5t#S256 crv x y n e pub'.split(' '),
);

/** Reads a body; a text where it is no JSON object. */
export function readDocument(body: Uint8Array): ReadDocument | string {
  try {
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body);
    const value = asRecord(parseJson(text, { maxBytes: DOCUMENT_BYTES_MAX }));
    return value === undefined ? 'expected a JSON object, found another value' : { text, value };
  } catch (error) {
    return messageOf(error);
  }
}

/** BS-9. */
export function keysVerdict({ value }: ReadDocument): Verdict {
  const keys = asList(value['keys']);
  if (keys === undefined) return verdict('fail', `expected a list called keys, found ${quoted(value['keys'])}`);
  return verdict('pass', keys.length === 0 ? 'no keys: everything is revoked' : `${keys.length} keys`);
}

/** BS-10, of one document. */
export function sequenceVerdict({ text, value }: ReadDocument): Verdict {
  if (value['spiffe_sequence'] === undefined) return verdict('warn', 'no spiffe_sequence');
  const raw = rawMember(text, 'spiffe_sequence') ?? '';
  if (!INTEGER.test(raw)) return verdict('fail', `expected spiffe_sequence as an integer, found it as ${quoted(raw)}`);
  const sequence = sequenceOf({ text, value }) ?? 0n;
  if (sequence < 0n || sequence > SEQUENCE_MAX)
    return verdict('warn', `expected spiffe_sequence within unsigned 64 bits, found ${quoted(raw)}`);
  return verdict('pass', `spiffe_sequence ${raw}`);
}

/** The sequence, exactly; `undefined` where it is no integer. */
export function sequenceOf({ value }: ReadDocument): bigint | undefined {
  const sequence = value['spiffe_sequence'];
  if (typeof sequence === 'bigint') return sequence;
  return typeof sequence === 'number' && Number.isSafeInteger(sequence) ? BigInt(sequence) : undefined;
}

/** BS-11. */
export function refreshHintVerdict({ text, value }: ReadDocument): Verdict {
  if (value['spiffe_refresh_hint'] === undefined) return verdict('warn', 'no spiffe_refresh_hint');
  const raw = rawMember(text, 'spiffe_refresh_hint') ?? '';
  if (!INTEGER.test(raw))
    return verdict('fail', `expected spiffe_refresh_hint as an integer, found it as ${quoted(raw)}`);
  return verdict(/^(-|0$)/.test(raw) ? 'warn' : 'pass', `spiffe_refresh_hint ${quoted(raw)}`);
}

/** BS-12. */
export function typesVerdict(document: ReadDocument): Verdict {
  const problems = jwksOf(document).map(({ jwk, where }) => {
    for (const [name, known] of [
      ['kty', KEY_TYPES],
      ['use', USES],
    ] as const) {
      const found = jwk[name];
      if (typeof found !== 'string' || found === '') return `expected ${name} in ${where}, found ${quoted(found)}`;
      const meant = known.find((each) => each.toLowerCase() === found.toLowerCase());
      if (meant !== undefined && meant !== found)
        return `expected ${name} ${meant} in ${where}, found ${quoted(found)}: the case counts`;
    }
    return undefined;
  });
  return firstOf(problems, 'fail', verdict('pass', 'every key has kty and use'));
}

/** BS-13. */
export function x509Verdict(document: ReadDocument, trustDomain: TrustDomain): Verdict {
  const entries = jwksOf(document).filter(({ jwk }) => jwk['use'] === 'x509-svid');
  if (entries.length === 0) return verdict('not-applicable', 'no x509-svid key');
  const read = entries.map((entry) => readX5c(entry, trustDomain));
  const found = read.find(({ outcome }) => outcome === 'fail') ?? read.find(({ outcome }) => outcome === 'warn');
  return found ?? verdict('pass', `${entries.length} CA certificates`);
}

/** BS-14. */
export function keyIdVerdict(document: ReadDocument): Verdict {
  const entries = jwksOf(document).filter(({ jwk }) => jwk['use'] === 'jwt-svid' || jwk['use'] === 'wit-svid');
  if (entries.length === 0) return verdict('not-applicable', 'no jwt-svid or wit-svid key');
  const ids = jwksOf(document).map(({ jwk }) => jwk['kid']);
  const problems = entries.map(({ jwk, where }) => {
    const { kid, use } = jwk;
    if (typeof kid !== 'string' || kid === '') return `expected kid in ${where}, found ${quoted(kid)}`;
    const shared = use === 'wit-svid' && ids.filter((each) => each === kid).length > 1;
    return shared ? `expected the kid of ${where} once in the bundle, found it again: ${quoted(kid)}` : undefined;
  });
  return firstOf(problems, 'fail', verdict('pass', `${entries.length} keys with kid`));
}

/** BS-15. */
export function membersVerdict(document: ReadDocument): Verdict {
  const problems = jwksOf(document).map(({ jwk, where }) => {
    const strange = Object.keys(jwk).filter((name) => !PUBLIC_MEMBERS.has(name) && !PRIVATE_MEMBERS.has(name));
    return strange.length === 0 ? undefined : `${where} has ${quoted(strange)}`;
  });
  return firstOf(problems, 'warn', verdict('pass', 'no undefined member in a key'));
}

/** BS-17, as far as one document shows it. */
export function retiredVerdict(document: ReadDocument, nowMs: number): Verdict {
  const problems = jwksOf(document).map(({ jwk, where }) => {
    const notAfterMs = certificateIn(jwk)?.notAfterMs;
    if (notAfterMs === undefined || notAfterMs >= nowMs) return undefined;
    return `${where} is a CA certificate that expired ${new Date(notAfterMs).toISOString()}`;
  });
  return firstOf(problems, 'warn', verdict('pass', 'no authority that has expired'));
}

/** BS-18. */
export function mapVerdict({ value }: ReadDocument): Verdict {
  if (!Object.hasOwn(value, 'trust_domains')) return verdict('not-applicable', 'one bundle, no bundle map');
  const map = asRecord(value['trust_domains']);
  if (map === undefined)
    return verdict('fail', `expected trust_domains as an object, found ${quoted(value['trust_domains'])}`);
  const hinted = Object.entries(map).find(([, entry]) => asRecord(entry)?.['spiffe_refresh_hint'] !== undefined);
  if (hinted !== undefined) return verdict('warn', `a refresh hint inside the entry ${quoted(hinted[0])}`);
  return verdict('pass', `a bundle map of ${Object.keys(map).length} trust domains`);
}

/** BS-19: names of private members. */
export function privateProblem(document: ReadDocument): string | undefined {
  for (const { jwk, where } of jwksOf(document)) {
    const found = Object.keys(jwk).filter((name) => PRIVATE_MEMBERS.has(name));
    if (found.length > 0) return `${where} has private members: ${quoted(found)}`;
  }
  return undefined;
}

interface Entry {
  readonly jwk: Members;
  readonly where: string;
}

function jwksOf({ value }: ReadDocument): readonly Entry[] {
  return (asList(value['keys']) ?? []).map((key, index) => ({ jwk: asRecord(key) ?? {}, where: `keys[${index}]` }));
}

function readX5c({ jwk, where }: Entry, trustDomain: TrustDomain): Verdict {
  if (jwk['kid'] !== undefined) return verdict('fail', `expected no kid in ${where}, found ${quoted(jwk['kid'])}`);
  const certificates = asList(jwk['x5c']);
  if (certificates?.length !== 1)
    return verdict('fail', `expected x5c with one certificate in ${where}, found ${certificates?.length ?? 'no list'}`);
  const certificate = certificateIn(jwk);
  if (certificate === undefined) return verdict('fail', `expected a certificate in base64 DER in x5c of ${where}`);
  if (certificate.extensions.basicConstraints?.ca !== true)
    return verdict('fail', `expected the certificate of a CA in x5c of ${where}, found one that is none`);
  const foreign = foreignIdOf(certificate, trustDomain);
  if (foreign !== undefined)
    return verdict('fail', `expected authorities of ${trustDomain}, found ${quoted(foreign)} in ${where}`);
  if (Buffer.compare(certificate.issuer, certificate.subject) !== 0)
    return verdict('warn', `the certificate in ${where} is not self-signed`);
  return verdict('pass', where);
}

function certificateIn(jwk: Members): ReturnType<typeof readCertificate> | undefined {
  const base64 = asList(jwk['x5c'])?.[0];
  if (jwk['use'] !== 'x509-svid' || typeof base64 !== 'string') return undefined;
  const der = Buffer.from(base64, 'base64');
  if (der.toString('base64') !== base64) return undefined;
  try {
    return readCertificate(new Uint8Array(der));
  } catch {
    return undefined;
  }
}
