/** The one verifier: decides what identity a certificate chain proves, with the bundle of the trust domain it names. */
import { branded } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type Certificate, importPublicKey, keyFingerprintOf, readCertificate } from '../x509/certificate.ts';
import { type Anchors } from './authority.ts';
import { checkKeyPolicy } from './key-policy.ts';
import { checkLeaf, readLeafId } from './leaf.ts';
import { findPath } from './path.ts';
import { type PresenterRole } from './purpose.ts';
import { rejected } from './rejection.ts';
import { checkTaint } from './taint.ts';
import { type TrustStore } from './trust-store.ts';
import { validityAt } from './validity.ts';
import {
  type Verification,
  type VerificationFailure,
  type VerifiedFacts,
  type VerifiedIdentity,
} from './verified-identity.ts';
import { type ChainProof, chainKey, vouchedBy } from './vouched.ts';

/** A chain, and what it is verified against. */
export interface VerificationRequest {
  /** DER, leaf first, as the peer sent it. */
  readonly chain: readonly Uint8Array[];
  readonly trust: TrustStore;
  /** What the presenter of the chain is in the connection. */
  readonly role: PresenterRole;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Limits of spiffe.md section 4, on what a peer makes us read; a certificate's own is `readCertificate`'s. */
const CERTIFICATES_MAX = 8;
const CHAIN_OCTETS_MAX = 32 * 1024;

/**
 * Verifies an X.509-SVID (X.509-SVID §5, SPIFFE Federation §7.3). The SPIFFE ID of the leaf names the one bundle whose
 * authorities count; roots of different trust domains are never pooled. Pure and synchronous; a chain that this bundle
 * has vouched for before is looked up by its SHA-256, and only its dates and keys are judged again. Every chain, however
 * hostile, gets an answer; nothing is thrown on account of one.
 */
export function verifySvid(request: VerificationRequest): Verification {
  const { chain, trust, role } = request;
  const tooMuch = checkLimits(chain);
  if (tooMuch !== undefined) return tooMuch;
  const read = readChain(chain.slice(0, 1));
  if (read.kind === 'rejected') return read;
  const [leaf] = read.list;
  if (leaf === undefined) return rejected('chain-limits', 'no certificate was presented');
  const identity = readLeafId(leaf);
  if (identity.kind === 'rejected') return identity;
  const problem = checkLeaf(leaf, role) ?? checkKeyPolicy(leaf);
  if (problem !== undefined) return problem;
  const trustDomain = trustDomainOf(identity.id);
  const bundle = trust.bundles.get(trustDomain);
  if (bundle?.trustDomain !== trustDomain) {
    return rejected('unknown-trust-domain', `no bundle of the trust domain ${trustDomain} is known here`);
  }
  if (bundle.x509Authorities.length === 0) {
    return rejected('empty-bundle', `the bundle of ${trustDomain} holds no authority: all its identities are revoked`);
  }
  const vouched = vouchedBy(bundle);
  const key = chainKey(chain, role);
  const known = vouched.find(key);
  if (known !== undefined && holds(known, request)) return verified(known, request);
  const proof = prove(request, { leaf, id: identity.id, anchors: vouched.anchors });
  if (proof.kind === 'rejected') return proof;
  vouched.keep(key, proof.proof);
  return verified(proof.proof, request);
}

/** What is proved once may have expired since, or a key in it may have been tainted; then it has to be proved anew. */
function holds(proof: ChainProof, { trust, nowMs }: VerificationRequest): boolean {
  return validityAt(nowMs, proof) === 'valid' && checkTaint(proof.keyFingerprints, trust.tainted) === undefined;
}

function verified({ id, anchorFingerprint, notAfterMs }: ChainProof, { chain }: VerificationRequest): VerifiedIdentity {
  const trustDomain = trustDomainOf(id);
  const facts: VerifiedFacts = { kind: 'verified', id, trustDomain, anchorFingerprint, expiresAtMs: notAfterMs, chain };
  return branded<VerifiedFacts, 'VerifiedIdentity'>(facts);
}

/** What is known of a chain when its leaf has been judged. */
interface JudgedLeaf {
  readonly leaf: Certificate;
  readonly id: SpiffeId;
  readonly anchors: Anchors;
}

function prove(
  { chain, trust, role, nowMs }: VerificationRequest,
  { leaf, id, anchors }: JudgedLeaf,
): { readonly kind: 'proof'; readonly proof: ChainProof } | VerificationFailure {
  const above = readChain(chain.slice(1));
  if (above.kind === 'rejected') return above;
  const certificates = [leaf, ...above.list];
  const keys = certificates.map(keyFingerprintOf);
  const problem = checkTaint(keys, trust.tainted);
  if (problem !== undefined) return problem;
  const { tainted } = trust;
  // OpenSSL has the last word on whether its key is one: a point off the curve looks like any other.
  if (importPublicKey(leaf) === undefined) return rejected('weak-key', 'the key of the leaf is no public key');
  const path = findPath({ chain: certificates, trustDomain: trustDomainOf(id), anchors, tainted, role, nowMs });
  if (path.kind === 'rejected') return path;
  const all = [...path.certificates, path.anchor];
  const proof: ChainProof = {
    id,
    anchorFingerprint: path.anchor.fingerprint,
    notBeforeMs: Math.max(...all.map((certificate) => certificate.notBeforeMs)),
    notAfterMs: Math.min(...all.map((certificate) => certificate.notAfterMs)),
    keyFingerprints: [...keys, keyFingerprintOf(path.anchor)],
  };
  return { kind: 'proof', proof };
}

function checkLimits(chain: readonly Uint8Array[]): VerificationFailure | undefined {
  if (chain.length > CERTIFICATES_MAX) {
    return rejected('chain-limits', `expected at most ${CERTIFICATES_MAX} certificates, found ${chain.length}`);
  }
  const octets = chain.reduce((sum, der) => sum + der.length, 0);
  if (octets > CHAIN_OCTETS_MAX) {
    return rejected('chain-limits', `expected a chain of at most ${CHAIN_OCTETS_MAX} octets, found ${octets}`);
  }
  return undefined;
}

function readChain(
  chain: readonly Uint8Array[],
): { readonly kind: 'chain'; readonly list: readonly Certificate[] } | VerificationFailure {
  try {
    return { kind: 'chain', list: chain.map((der) => readCertificate(der)) };
  } catch (error) {
    if (error instanceof JumpgateError) return rejected('certificate-malformed', error.message);
    throw error;
  }
}
