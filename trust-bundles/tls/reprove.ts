/**
 * Proof of a newer SVID over a connection that stands (design, wire): a signature by the new key over a value that only
 * the two ends of this one TLS connection can compute. The idea is RFC 9261's; the form of what is signed is that of TLS
 * 1.3's CertificateVerify (RFC 8446 §4.4.3) under a context string of its own, so that neither is ever taken for the other.
 */
import { constants, createHash, type KeyObject, sign, type SignKeyObjectInput, verify } from 'node:crypto';
import { type TLSSocket } from 'node:tls';

import { asList, asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type PresenterRole } from '../verify/purpose.ts';
import { type Verification, type VerifiedIdentity } from '../verify/verified-identity.ts';
import { importPublicKey, readCertificate } from '../x509/certificate.ts';
import { type X509Svid } from '../x509/svid.ts';
import { type ChainVerifier } from './connection.ts';
import { CHAIN_CERTIFICATES_MAX } from './peer-chain.ts';

/** A statement in JSON: 32 KiB of certificates in base64, a signature, and what is around them. */
export const REPROOF_BYTES_MAX = 48 * 1024;

/** What one end states: its newest chain, and that it holds the key. */
export interface Reproof {
  /** Of the exchange that this belongs to; grows over the life of the connection. */
  readonly counter: number;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly signature: Uint8Array;
}

/** What a statement is bound to: this connection, one end of it, one exchange. */
export interface ReproofBinding {
  readonly socket: Pick<TLSSocket, 'exportKeyingMaterial'>;
  /** Of the end that states. */
  readonly role: PresenterRole;
  readonly counter: number;
}

const EXPORTER_LABEL = 'EXPORTER-jumpgate-reprove';
const EXPORTED_BYTES = 32;
/** RFC 8446 §4.4.3: 64 spaces, a context string, a zero. */
const PADDING = Buffer.alloc(64, ' ');
/** An RSA signature of 8,192 bits, the largest key that verification admits. */
const SIGNATURE_BYTES_MAX = 1024;

/** States `svid` for one end of a connection. Throws what node:tls throws when the connection is over. */
export function signReproof(svid: X509Svid, binding: ReproofBinding): Reproof {
  const signature = sign(digestFor(svid.key), signedContent(svid.chain, binding), signingKey(svid.key));
  return { counter: binding.counter, chain: svid.chain, signature: new Uint8Array(signature) };
}

/**
 * Judges what the other end states: as in a handshake its chain by `admit`, the newest bundle, and the proof of
 * possession; and the identity must be the one that it had. Rejections: those of `admit`, `other-identity` and
 * `signature` (another connection, end, exchange or chain than the one that was signed, or another key).
 */
export function checkReproof(
  stated: Pick<Reproof, 'chain' | 'signature'>,
  binding: ReproofBinding,
  { before, admit }: { readonly before: VerifiedIdentity; readonly admit: ChainVerifier },
): Verification {
  const verdict = admit(stated.chain);
  if (verdict.kind === 'rejected') return verdict;
  if (verdict.id !== before.id) {
    return { kind: 'rejected', code: 'other-identity', message: `expected ${before.id} again, found ${verdict.id}` };
  }
  if (isSignedByLeaf(stated, binding)) return verdict;
  const message = 'expected a signature by the key of the leaf over this connection, end and exchange, found another';
  return { kind: 'rejected', code: 'signature', message };
}

/** The JSON of a statement. */
export function writeReproof({ counter, chain, signature }: Reproof): string {
  return JSON.stringify({ counter, chain: chain.map(toBase64), signature: toBase64(signature) });
}

/** Reads a statement strictly; unknown members are a newer version's. Throws `reproof-malformed` (source peer). */
export function readReproof(text: Uint8Array): Reproof {
  const { counter, chain, signature } = asRecord(parse(text)) ?? {};
  if (typeof counter !== 'number' || !Number.isSafeInteger(counter) || counter < 1) throw malformed('a counter');
  const certificates = asList(chain);
  if (certificates === undefined || certificates.length === 0 || certificates.length > CHAIN_CERTIFICATES_MAX) {
    throw malformed(`a chain of 1 to ${CHAIN_CERTIFICATES_MAX} certificates`);
  }
  const signed = fromBase64(signature);
  if (signed.length > SIGNATURE_BYTES_MAX) throw malformed('a signature');
  return { counter, chain: certificates.map(fromBase64), signature: signed };
}

function isSignedByLeaf({ chain, signature }: Pick<Reproof, 'chain' | 'signature'>, binding: ReproofBinding): boolean {
  const [leaf] = chain;
  const key = leaf && importPublicKey(readCertificate(leaf));
  if (key === undefined) return false;
  try {
    return verify(digestFor(key), signedContent(chain, binding), signingKey(key), signature);
  } catch {
    // OpenSSL throws for signatures of impossible form where others only say no.
    return false;
  }
}

/** The chain is under the signature too: nobody in between could exchange the certificates above the leaf. */
function signedContent(chain: readonly Uint8Array[], { socket, role, counter }: ReproofBinding): Buffer {
  const context = Buffer.alloc(9);
  context.writeUInt8(role === 'client' ? 1 : 2);
  context.writeBigUInt64BE(BigInt(counter), 1);
  const exported = socket.exportKeyingMaterial(EXPORTED_BYTES, EXPORTER_LABEL, context);
  const digest = createHash('sha256');
  for (const der of chain) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(der.length);
    digest.update(length).update(der);
  }
  return Buffer.concat([PADDING, Buffer.from(`jumpgate reprove, ${role}\0`), exported, digest.digest()]);
}

/** The algorithm follows from the key alone, so that nobody can choose a weaker one. */
function digestFor(key: KeyObject): 'sha256' | 'sha384' | null {
  if (key.asymmetricKeyType === 'ed25519') return null;
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
}

/** RSA signs with PSS, as in TLS 1.3. */
function signingKey(key: KeyObject): SignKeyObjectInput {
  if (key.asymmetricKeyType !== 'rsa') return { key };
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(value: unknown): Uint8Array {
  const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64');
  // Node passes over what is no base64: only the one spelling of the bytes counts.
  if (bytes.length === 0 || bytes.toString('base64') !== value) throw malformed('base64');
  return new Uint8Array(bytes);
}

function parse(text: Uint8Array): unknown {
  try {
    return parseJson(text, { maxBytes: REPROOF_BYTES_MAX, maxDepth: 4 });
  } catch (cause) {
    throw malformed('JSON', cause);
  }
}

function malformed(expected: string, cause?: unknown): JumpgateError {
  return new JumpgateError('reproof-malformed', `malformed re-proof: expected ${expected}`, { source: 'peer', cause });
}
