/** The TLS parameters of both sides: what every context here has in common, and why. */
import { constants } from 'node:crypto';
import { type SecureContextOptions } from 'node:tls';

import { certificatesToPem, privateKeyToPem } from '../x509/pem.ts';
import { type X509Svid } from '../x509/svid.ts';

/** PEM texts as node:tls wants them. */
export interface TlsCredentials {
  /** Certificates, leaf first. */
  readonly cert: string;
  /** PKCS#8. */
  readonly key: string;
}

/** Post-quantum hybrid first, then its classical half: the groups of a link (design, wire). */
const MUTUAL_TLS_GROUPS = 'X25519MLKEM768:X25519';

/**
 * Mozilla's "intermediate" list without its finite-field DHE suites, which SPIFFE Federation §5 asks of a bundle
 * endpoint and outside callers of an edge expect.
 */
const INTERMEDIATE_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** No resumption: it skips verification and hides the chain. No renegotiation: nothing here needs it, floods use it. */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION;

/**
 * Context of either side of mutual TLS: 1.3 only. `ca` is deliberately empty: OpenSSL proves possession of the key and
 * judges nothing, so there is no union of roots to poison, no list of names to leak, and no public roots by default.
 * Without an SVID a server refuses every handshake.
 */
export function mutualTlsContext(svid: X509Svid | undefined): SecureContextOptions {
  return {
    ...(svid === undefined ? {} : credentialsOf(svid)),
    ca: [],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ecdhCurve: MUTUAL_TLS_GROUPS,
    secureOptions: SECURE_OPTIONS,
  };
}

/** Context of a server that asks for no client certificate: TLS 1.2 and 1.3. Without credentials it refuses every handshake. */
export function serverTlsContext(credentials: Partial<TlsCredentials>): SecureContextOptions {
  return { ...credentials, ...oneWayClientContext(), honorCipherOrder: true };
}

/** Context of a client without a certificate: TLS 1.2 and 1.3. */
export function oneWayClientContext(): SecureContextOptions {
  return {
    ca: [],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: INTERMEDIATE_CIPHERS,
    secureOptions: SECURE_OPTIONS,
  };
}

/**
 * Context of a client with an SVID to a service of its own mesh: TLS 1.2 and 1.3, since such services are of any age.
 * `anchors` (PEM, each one certificate) are all that OpenSSL judges by, if it is asked to; an intermediate counts.
 */
export function backendTlsContext(svid: X509Svid, anchors: readonly string[]): SecureContextOptions {
  return { ...oneWayClientContext(), ...credentialsOf(svid), ca: [...anchors], allowPartialTrustChain: true };
}

/** The SVID as PEM. */
export function credentialsOf(svid: X509Svid): TlsCredentials {
  return { cert: certificatesToPem(svid.chain), key: privateKeyToPem(svid.key) };
}
