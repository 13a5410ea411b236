/** The one verifier: decides what identity a certificate chain proves, with the bundle of the trust domain it names. */
import { branded } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { trustDomainOf } from '../identity/spiffe-id.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { checkKeyPolicy } from './key-policy.ts';
import { checkLeaf, readLeafId } from './leaf.ts';
import { findPath } from './path.ts';
import { type PresenterRole } from './purpose.ts';
import { rejected } from './rejection.ts';
import { checkTaint } from './taint.ts';
import { type TrustStore } from './trust-store.ts';
import { type Verification, type VerificationFailure, type VerifiedFacts } from './verified-identity.ts';

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
 * authorities count; roots of different trust domains are never pooled. Pure and synchronous. Every chain, however
 * hostile, gets an answer; nothing is thrown on account of one.
 */
export function verifySvid({ chain, trust, role, nowMs }: VerificationRequest): Verification {
  const certificates = readChain(chain);
  if (certificates.kind === 'rejected') return certificates;
  const [leaf] = certificates.list;
  if (leaf === undefined) return rejected('chain-limits', 'no certificate was presented');
  const identity = readLeafId(leaf);
  if (identity.kind === 'rejected') return identity;
  const problem = checkTaint(certificates.list, trust.tainted) ?? checkLeaf(leaf, role) ?? checkKeyPolicy(leaf);
  if (problem !== undefined) return problem;
  const trustDomain = trustDomainOf(identity.id);
  const bundle = trust.bundles.get(trustDomain);
  if (bundle?.trustDomain !== trustDomain) {
    return rejected('unknown-trust-domain', `no bundle of the trust domain ${trustDomain} is known here`);
  }
  if (bundle.x509Authorities.length === 0) {
    return rejected('empty-bundle', `the bundle of ${trustDomain} holds no authority: all its identities are revoked`);
  }
  const path = findPath({ chain: certificates.list, bundle, tainted: trust.tainted, role, nowMs });
  if (path.kind === 'rejected') return path;
  const facts: VerifiedFacts = {
    kind: 'verified',
    id: identity.id,
    trustDomain,
    anchorFingerprint: path.anchor.fingerprint,
    expiresAtMs: Math.min(...[...path.certificates, path.anchor].map((certificate) => certificate.notAfterMs)),
    chain,
  };
  return branded<VerifiedFacts, 'VerifiedIdentity'>(facts);
}

function readChain(
  chain: readonly Uint8Array[],
): { readonly kind: 'chain'; readonly list: readonly Certificate[] } | VerificationFailure {
  if (chain.length > CERTIFICATES_MAX) {
    return rejected('chain-limits', `expected at most ${CERTIFICATES_MAX} certificates, found ${chain.length}`);
  }
  const octets = chain.reduce((sum, der) => sum + der.length, 0);
  if (octets > CHAIN_OCTETS_MAX) {
    return rejected('chain-limits', `expected a chain of at most ${CHAIN_OCTETS_MAX} octets, found ${octets}`);
  }
  try {
    return { kind: 'chain', list: chain.map((der) => readCertificate(der)) };
  } catch (error) {
    if (error instanceof JumpgateError) return rejected('certificate-malformed', error.message);
    throw error;
  }
}
