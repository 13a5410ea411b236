/** A bundle: the public keys of one trust domain, as an immutable value of plain data. */
import { type TrustDomain } from '../identity/trust-domain.ts';

/** One X.509 authority: a CA certificate that vouches for SVIDs of the bundle's trust domain. */
export interface X509Authority {
  /** The certificate, DER. */
  readonly der: Uint8Array;
  /** SHA-256 over `der`, lower-case hex. */
  readonly fingerprint: string;
}

/** One JWT authority: a public key that signs JWT-SVIDs. */
export interface JwtAuthority {
  readonly keyId: string;
  /** The public JWK without `use` and `kid`, as canonical JSON. */
  readonly jwk: string;
}

/** The keys of `trustDomain`. The binding of keys to the domain is part of the value and never inferred (SPIFFE Federation §7.3). */
export interface Bundle {
  readonly trustDomain: TrustDomain;
  readonly x509Authorities: readonly X509Authority[];
  readonly jwtAuthorities: readonly JwtAuthority[];
  /** `spiffe_sequence`, unsigned 64-bit; absent in documents without one. */
  readonly sequence: bigint | undefined;
  /** `spiffe_refresh_hint` in seconds; absent in documents without one. */
  readonly refreshHintSeconds: number | undefined;
}
