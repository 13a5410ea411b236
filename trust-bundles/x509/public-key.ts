/** The public key of a certificate (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7), as far as a decision about it needs. */
import { derBitString, derElement, derInteger, derOid, DerReader, derSequence, derTag } from '../../base/der.ts';

/** A key's kind and size. `other` is whatever no policy of ours allows: it is named, never used. */
export type PublicKey =
  | { readonly kind: 'ec'; readonly curve: 'P-256' | 'P-384' }
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponent: bigint }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'other'; readonly name: string };

const EC = '1.2.840.10045.2.1';
const RSA = '1.2.840.113549.1.1.1';
const ED25519 = '1.3.101.112';

const CURVES: ReadonlyMap<string, { readonly curve: 'P-256' | 'P-384'; readonly pointOctets: number }> = new Map([
  ['1.2.840.10045.3.1.7', { curve: 'P-256', pointOctets: 65 }],
  ['1.3.132.0.34', { curve: 'P-384', pointOctets: 97 }],
]);
const UNCOMPRESSED_POINT = 0x04;
const ED25519_OCTETS = 32;

/** Reads SubjectPublicKeyInfo in DER. Throws `der-malformed`. */
export function readPublicKey(spki: Uint8Array): PublicKey {
  const outer = derSequence(spki, 'public key');
  const algorithm = new DerReader(outer.next(derTag.sequence).content, 'public key algorithm');
  const { bytes } = derBitString(outer.next(derTag.bitString));
  outer.end();
  const oid = derOid(algorithm.next(derTag.oid));
  const parameters = algorithm.done ? undefined : algorithm.next();
  algorithm.end();
  switch (oid) {
    case EC: {
      if (parameters?.tag !== derTag.oid) return { kind: 'other', name: 'EC with explicit or implied parameters' };
      const curveOid = derOid(parameters);
      const known = CURVES.get(curveOid);
      if (known === undefined) return { kind: 'other', name: `EC on the curve ${curveOid}` };
      if (bytes.length !== known.pointOctets || bytes[0] !== UNCOMPRESSED_POINT) {
        return { kind: 'other', name: `EC on ${known.curve} with a point that is not uncompressed` };
      }
      return { kind: 'ec', curve: known.curve };
    }
    case RSA:
      if (parameters?.tag !== derTag.null || parameters.content.length > 0) {
        return { kind: 'other', name: 'RSA with parameters' };
      }
      return readRsa(bytes);
    case ED25519:
      if (parameters !== undefined || bytes.length !== ED25519_OCTETS) {
        return { kind: 'other', name: 'malformed Ed25519' };
      }
      return { kind: 'ed25519' };
    default:
      return { kind: 'other', name: `algorithm ${oid}` };
  }
}

function readRsa(bytes: Uint8Array): PublicKey {
  const key = new DerReader(derElement(bytes, derTag.sequence, 'RSA key').content, 'RSA key');
  const modulus = derInteger(key.next(derTag.integer));
  const exponent = derInteger(key.next(derTag.integer));
  key.end();
  if (modulus <= 0n || exponent <= 0n) return { kind: 'other', name: 'RSA with a number below one' };
  return { kind: 'rsa', bits: modulus.toString(2).length, exponent };
}
