/** Refusals of verification: their closed set of codes. */
import { type VerificationFailure } from './verified-identity.ts';

/** Why a chain is refused; a label of metrics and a field of logs. */
export type RejectionCode =
  | 'chain-limits'
  | 'certificate-malformed'
  | 'leaf-names'
  | 'spiffe-id-malformed'
  | 'leaf-constraints'
  | 'extended-key-usage'
  | 'weak-key'
  | 'key-tainted'
  | 'weak-signature'
  | 'unknown-critical-extension'
  | 'unknown-trust-domain'
  | 'empty-bundle'
  | 'not-vouched-for'
  | 'not-yet-valid'
  | 'expired'
  | 'ca-constraints'
  | 'foreign-authority'
  | 'name-constraints';

/** A refusal; `message` says what was expected and what was found. */
export function rejected(code: RejectionCode, message: string): VerificationFailure {
  return { kind: 'rejected', code, message };
}
