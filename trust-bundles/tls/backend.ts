/** TLS to a service on a connection that stands: we show our SVID, and the service proves to be the one that is expected. */
import { type Socket } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

import { JumpgateError } from '../../base/errors.ts';
import { type VerificationFailure } from '../verify/verified-identity.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type X509Svid } from '../x509/svid.ts';
import { type ChainVerifier } from './connection.ts';
import { backendTlsContext } from './context.ts';
import { reasonOf } from './dial.ts';
import { tlsReason } from './failure.ts';
import { peerChain } from './peer-chain.ts';
import { serverNameFor } from './server-name.ts';

/** How the service proves itself. */
export type BackendProof =
  /** By a chain that our own verifier judges. */
  | { readonly kind: 'chain'; readonly verify: ChainVerifier }
  /**
   * As a public server does: by a certificate of the host's name (RFC 6125) under the anchors of the context, in OpenSSL;
   * `refusal` is asked about what OpenSSL cannot know.
   */
  | { readonly kind: 'name'; readonly refusal: (chain: readonly Uint8Array[]) => VerificationFailure | undefined };

/** What to shake hands about. */
export interface BackendHandshake {
  /** Connected, and nothing read of it. */
  readonly raw: Socket;
  /** A name, or an IP literal without brackets: what is sent by SNI where it is a name, and what `name` proves. */
  readonly host: string;
  /** The one protocol name offered; a service that ignores it is accepted. Without one none is offered. */
  readonly alpn: 'h2' | 'http/1.1' | undefined;
  readonly context: SecureContext;
  readonly proof: BackendProof;
  readonly signal: AbortSignal;
}

/** A service that has proved to be the one. */
export interface SecuredBackend {
  readonly socket: TLSSocket;
  /** DER, leaf first, kept so that it can be judged again when trust changes. */
  readonly chain: readonly Uint8Array[];
  /** Until when the proof holds, milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** What connections of one identity to services of the same anchors (PEM; none under `chain`) share. */
export function backendContext(svid: X509Svid, anchors: readonly string[]): SecureContext {
  return createSecureContext(backendTlsContext(svid, anchors));
}

/**
 * Shakes hands. Throws `tls`, or `untrusted` with why the service is not the one, or the signal's reason; `raw` is
 * destroyed then.
 */
export async function secureBackend(handshake: BackendHandshake): Promise<SecuredBackend> {
  const socket = await shakeHands(handshake);
  try {
    return judged(socket, handshake);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function shakeHands({ raw, host, alpn, context, proof, signal }: BackendHandshake): Promise<TLSSocket> {
  const servername = serverNameFor(host);
  return new Promise((resolve, reject) => {
    const socket = connect({
      secureContext: context,
      socket: raw,
      rejectUnauthorized: proof.kind === 'name',
      checkServerIdentity: (_host, certificate) => checkServerIdentity(host, certificate),
      ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
      ...(servername === undefined ? {} : { servername }),
    });
    const settle = (outcome: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      outcome();
    };
    const onAbort = (): void => {
      socket.destroy();
      raw.destroy();
      settle(() => reject(reasonOf(signal)));
    };
    const onFailed = (cause: unknown): void => {
      raw.destroy();
      settle(() => reject(handshakeError(host, cause)));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', () => settle(() => resolve(socket)));
    // Stays for the life of the socket: an error without a listener would crash the process.
    socket.on('error', onFailed);
    socket.once('close', () => onFailed(undefined));
    if (signal.aborted) onAbort();
  });
}

function handshakeError(host: string, cause: unknown): JumpgateError {
  const reason = cause === undefined ? 'the connection was closed' : tlsReason(cause);
  const message = `expected a TLS handshake with the service at ${host}, found: ${reason}`;
  return new JumpgateError('tls', message, { source: 'local', retry: 'later', cause });
}

function judged(socket: TLSSocket, { host, proof }: BackendHandshake): SecuredBackend {
  const peer = peerChain(socket);
  if (peer.kind === 'rejected') throw untrusted(host, peer.code, peer.message);
  const { chain } = peer;
  const verdict = proof.kind === 'chain' ? proof.verify(chain) : proof.refusal(chain);
  if (verdict?.kind === 'rejected') throw untrusted(host, verdict.code, verdict.message);
  const expiresAtMs = verdict?.expiresAtMs ?? readCertificate(chain[0] ?? new Uint8Array()).notAfterMs;
  return { socket, chain, expiresAtMs };
}

function untrusted(host: string, code: string, reason: string): JumpgateError {
  const message = `the certificate of the service at ${host} was refused (${code}): ${reason}`;
  return new JumpgateError('untrusted', message, { source: 'local', retry: 'later' });
}
