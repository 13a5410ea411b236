/** Which keys and signatures count: ECDSA on P-256 and P-384, RSA from 2,048 bits, Ed25519, with SHA-2 only (spiffe.md section 4). */
import { verify } from 'node:crypto';

import { type Certificate } from '../x509/certificate.ts';
import { type PublicKey } from '../x509/public-key.ts';
import { type Authority } from './authority.ts';
import { rejected } from './rejection.ts';
import { type VerificationFailure } from './verified-identity.ts';

/** A signature algorithm: its digest as node:crypto names it (`null`: the algorithm's own), its key, its parameters. */
interface Algorithm {
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null;
  readonly key: PublicKey['kind'];
  readonly parameters: 'absent' | 'null';
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['1.2.840.10045.4.3.2', { digest: 'sha256', key: 'ec', parameters: 'absent' }],
  ['1.2.840.10045.4.3.3', { digest: 'sha384', key: 'ec', parameters: 'absent' }],
  ['1.2.840.10045.4.3.4', { digest: 'sha512', key: 'ec', parameters: 'absent' }],
  ['1.2.840.113549.1.1.11', { digest: 'sha256', key: 'rsa', parameters: 'null' }],
  ['1.2.840.113549.1.1.12', { digest: 'sha384', key: 'rsa', parameters: 'null' }],
  ['1.2.840.113549.1.1.13', { digest: 'sha512', key: 'rsa', parameters: 'null' }],
  ['1.3.101.112', { digest: null, key: 'ed25519', parameters: 'absent' }],
]);

const RSA_BITS_MIN = 2048;
/** The cost of a verification grows with the square of the size, and peers choose it. */
const RSA_BITS_MAX = 8192;
/** Exponents of 1 sign nothing; the cost grows with their length. */
const RSA_EXPONENT_MIN = 3n;
const RSA_EXPONENT_MAX = 2n ** 32n;

/** Refuses a certificate whose own key, or the algorithm it is signed with, is not on the list. */
export function checkKeyPolicy(certificate: Certificate): VerificationFailure | undefined {
  return checkKey(certificate.publicKey) ?? checkSignatureAlgorithm(certificate);
}

/** Refuses a key that is not on the list. */
export function checkKey(key: PublicKey): VerificationFailure | undefined {
  switch (key.kind) {
    case 'ec':
    case 'ed25519':
      return undefined;
    case 'rsa':
      if (key.bits < RSA_BITS_MIN || key.bits > RSA_BITS_MAX) {
        return rejected('weak-key', `expected RSA of ${RSA_BITS_MIN} to ${RSA_BITS_MAX} bits, found ${key.bits}`);
      }
      if (key.exponent < RSA_EXPONENT_MIN || key.exponent > RSA_EXPONENT_MAX || key.exponent % 2n === 0n) {
        return rejected('weak-key', 'expected an odd RSA exponent of 3 to 2^32');
      }
      return undefined;
    case 'other':
      return rejected('weak-key', `expected ECDSA P-256 or P-384, RSA or Ed25519, found ${key.name}`);
    default:
      return key satisfies never;
  }
}

/** Whether `issuer`'s key made the signature on `certificate`, by an algorithm on the list that fits the key. */
export function isSignedBy(certificate: Certificate, issuer: Authority): boolean {
  const algorithm = ALGORITHMS.get(certificate.signatureAlgorithm.oid);
  const { publicKey } = issuer.certificate;
  if (algorithm?.key !== publicKey.kind || checkKey(publicKey) !== undefined) return false;
  const { key } = issuer;
  if (key === undefined) return false;
  try {
    return verify(algorithm.digest, certificate.tbs, key, certificate.signature);
  } catch {
    // OpenSSL throws for signatures of impossible form where others only say no.
    return false;
  }
}

function checkSignatureAlgorithm(certificate: Certificate): VerificationFailure | undefined {
  const { oid, parameters } = certificate.signatureAlgorithm;
  const algorithm = ALGORITHMS.get(oid);
  if (algorithm !== undefined && algorithm.parameters === parameters) return undefined;
  return rejected('weak-signature', `expected a signature by ECDSA, RSA or Ed25519 with SHA-2, found algorithm ${oid}`);
}
