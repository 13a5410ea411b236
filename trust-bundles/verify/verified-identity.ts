/** What verification yields: the proof type that links and listeners demand, or the reason why there is none. */
import { type Brand } from '../../base/brand.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';

/** Facts about a chain that verified against the bundle of the one trust domain named in its SPIFFE ID. */
export interface VerifiedFacts {
  readonly kind: 'verified';
  readonly id: SpiffeId;
  readonly trustDomain: TrustDomain;
  /** SHA-256 of the anchor that vouched for the chain, lower-case hex. */
  readonly anchorFingerprint: string;
  /** The earliest notAfter of the chain and its anchor, milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** The chain as the peer sent it (DER, leaf first), kept so that it can be verified again when trust changes. */
  readonly chain: readonly Uint8Array[];
}

/** Made by `verify/verify` only. */
export type VerifiedIdentity = Brand<VerifiedFacts, 'VerifiedIdentity'>;

/** Why a chain was refused: a stable lower-case `code` (`expired`, `unknown-trust-domain`, `not-vouched-for`, …) and a sentence. */
export interface VerificationFailure {
  readonly kind: 'rejected';
  readonly code: string;
  readonly message: string;
}

/** Outcome of verification. */
export type Verification = VerifiedIdentity | VerificationFailure;
