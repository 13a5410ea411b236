/** Trust in web servers (profile https_web, SPIFFE Federation §5.2.1): public CAs, and a certificate for the host that was asked for. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, getCACertificates } from 'node:tls';

import { JumpgateError } from '../../base/errors.ts';
import { oneWayClientContext } from './context.ts';

/** OpenSSL's names for what is wrong with a chain, as Node puts them into `code`. */
const CHAIN_FAULT =
  /^(UNABLE_|CERT_|CRL_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_|PATH_LENGTH_|HOSTNAME_|ERROR_IN_|UNSPECIFIED$)/;

/** The code of a certificate that is for other hosts. */
const WRONG_HOST = 'wrong-host';

/**
 * The context of a client that lets OpenSSL build the path to `authorities` (PEM; default the machine's CAs) and then
 * compares the host itself: DNS and IP names of the SAN only, no wildcard but a whole left-most label, never the common
 * name (RFC 6125 §6.4, RFC 9525). `host` is a name, or an IP literal without brackets.
 */
export function webClientContext(host: string, authorities: readonly string[] | undefined): ConnectionOptions {
  return {
    ...oneWayClientContext(),
    ca: [...(authorities ?? machineAuthorities())],
    rejectUnauthorized: true,
    checkServerIdentity: (_name, { raw }) => hostProblem(new X509Certificate(raw), host),
  };
}

/** Why a certificate is not one of `host`, or `undefined`. */
export function hostProblem(certificate: X509Certificate, host: string): JumpgateError | undefined {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  const found =
    isIP(name) === 0
      ? certificate.checkHost(name, { subject: 'never', partialWildcards: false })
      : certificate.checkIP(name);
  if (found !== undefined) return undefined;
  const names = (certificate.subjectAltName ?? 'no names').slice(0, 200);
  return new JumpgateError(WRONG_HOST, `expected a certificate for ${name}, found one for ${names}`, {
    source: 'peer',
  });
}

/** Whether a handshake failed because the certificate was judged, not because the connection broke. */
export function isChainFault(code: string | undefined): boolean {
  return code !== undefined && (code === WRONG_HOST || CHAIN_FAULT.test(code));
}

/** Those of the operating system; a slim container has none, and then the list of Mozilla that Node brings. */
function machineAuthorities(): readonly string[] {
  const system = getCACertificates('system');
  return system.length > 0 ? system : getCACertificates('bundled');
}
