/** The certificates that a peer sent, read from its socket in the one way that works on every supported Node. */
import { type X509Certificate } from 'node:crypto';
import { type TLSSocket } from 'node:tls';

import { type VerificationFailure } from '../verify/verified-identity.ts';

/** Leaf, three levels of intermediates and as many cross-signed ones: more than any known CA hierarchy sends. */
export const CHAIN_CERTIFICATES_MAX = 8;
/** A certificate of a workload is below 2 KiB; 16 KiB leaves room for long SAN lists and post-quantum keys. */
export const CERTIFICATE_BYTES_MAX = 16 * 1024;
/** Bounds the work of one handshake; OpenSSL lets the message be 100 KiB. */
export const CHAIN_BYTES_MAX = 32 * 1024;

/** The chain, DER, leaf first. */
export interface PeerChain {
  readonly kind: 'chain';
  readonly chain: readonly Uint8Array[];
}

/**
 * Reads the peer's chain: `getPeerX509Certificate()` first and once, then `.issuerCertificate` until it repeats. Never
 * mix it with `getPeerCertificate()`: after either getter the other loses the chain (Node 20 to 24). Sockets with a
 * resumed session are refused, since resumption skips the proof of possession and hides the chain. Rejections:
 * `session-resumed`, `no-certificate`, `chain-too-long`, `certificate-too-large`, `chain-too-large`.
 */
export function peerChain(socket: TLSSocket): PeerChain | VerificationFailure {
  if (socket.isSessionReused())
    return rejected('session-resumed', 'expected a full handshake, found a resumed session');
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (certificate === undefined) return rejected('no-certificate', 'expected a certificate, the peer sent none');
  const chain: Uint8Array[] = [];
  let bytes = 0;
  while (certificate !== undefined) {
    const der = certificate.raw;
    // Octets are compared, at most eight times: `fingerprint256` costs more than that.
    if (chain.some((each) => Buffer.compare(each, der) === 0)) break;
    bytes += der.length;
    const problem = overLimit(chain.length + 1, der.length, bytes);
    if (problem !== undefined) return problem;
    chain.push(der);
    certificate = certificate.issuerCertificate;
  }
  return { kind: 'chain', chain };
}

function overLimit(count: number, bytes: number, bytesOfChain: number): VerificationFailure | undefined {
  if (count > CHAIN_CERTIFICATES_MAX) {
    return rejected('chain-too-long', `expected at most ${CHAIN_CERTIFICATES_MAX} certificates, the peer sent more`);
  }
  if (bytes > CERTIFICATE_BYTES_MAX) {
    return rejected('certificate-too-large', `expected at most ${CERTIFICATE_BYTES_MAX} bytes, found ${bytes}`);
  }
  if (bytesOfChain > CHAIN_BYTES_MAX) {
    return rejected('chain-too-large', `expected a chain of at most ${CHAIN_BYTES_MAX} bytes, the peer sent more`);
  }
  return undefined;
}

function rejected(code: string, message: string): VerificationFailure {
  return { kind: 'rejected', code, message };
}
