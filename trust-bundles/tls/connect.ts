/** The dialling side of TLS: name, TCP, handshake, verification, each with a failure code of its own. */
import { type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError } from '../../base/errors.ts';
import { type VerificationFailure, type VerifiedIdentity } from '../verify/verified-identity.ts';
import { heldSvid, type SvidSource } from '../x509/svid.ts';
import { type ChainVerifier, type VerifiedConnection } from './connection.ts';
import { mutualTlsContext, oneWayClientContext } from './context.ts';
import { dial, type Lookup, reasonOf } from './dial.ts';
import { tlsReason } from './failure.ts';
import { peerChain } from './peer-chain.ts';
import { serverNameFor } from './server-name.ts';
import { isChainFault, webClientContext } from './web-trust.ts';

/** From the look-up to the verdict, as a listener's own deadline on handshakes. */
const CONNECT_TIMEOUT_MS = 10_000;

/** What to connect to. */
export interface DialTlsOptions {
  /** A name, or an IP literal without brackets. */
  readonly host: string;
  readonly port: number;
  /** SNI instead of `host`; sent only if it is a name of letters, digits and hyphens. */
  readonly serverName?: string;
  /** The one protocol name offered. */
  readonly alpn: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly lookup?: Lookup;
  /** Default {@link CONNECT_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
}

/** What to connect to without showing a certificate. */
export interface ServerTlsConnectOptions extends DialTlsOptions {
  /** Judges the server's chain before anything is written. Whatever it throws is a refusal. */
  readonly verify: ChainVerifier;
}

/** Which web server to connect to. */
export interface WebTlsConnectOptions extends DialTlsOptions {
  /** PEM certificates of the CAs; default those of this machine. */
  readonly authorities: readonly string[] | undefined;
}

/** What to connect to, and as whom. */
export interface MutualTlsConnectOptions extends ServerTlsConnectOptions {
  readonly svid: SvidSource;
}

/** How strictly the server must answer ALPN. */
type AlpnAnswer = 'required' | 'optional';

/**
 * Dials mutual TLS 1.3. Connected does not mean accepted: in TLS 1.3 the server may still refuse our certificate, so
 * wait for an answer of its protocol. Throws `dns`, `tcp`, `tls`, `untrusted`, `alpn` or `timeout` (the rejection
 * of the verifier is the cause of `untrusted`, with its own code), `no-svid`, or the signal's reason.
 */
export async function connectMutualTls(options: MutualTlsConnectOptions): Promise<VerifiedConnection> {
  // Before anybody is troubled with a connection that cannot come to anything.
  heldSvid(options.svid);
  const context = (): ConnectionOptions => mutualTlsContext(heldSvid(options.svid));
  return establish(options, context, (socket) => verified(socket, options, 'required'));
}

/** Dials one-way TLS 1.2 or 1.3 without a client certificate; a server that ignores ALPN is accepted. Throws as {@link connectMutualTls}. */
export function connectServerTls(options: ServerTlsConnectOptions): Promise<VerifiedConnection> {
  return establish(options, oneWayClientContext, (socket) => verified(socket, options, 'optional'));
}

/** Dials a web server: its certificate must be one of its host, by a CA that is trusted. Throws as {@link connectServerTls}. */
export function connectWebTls(options: WebTlsConnectOptions): Promise<TLSSocket> {
  const context = (): ConnectionOptions => webClientContext(options.host, options.authorities);
  return establish(options, context, (socket) => {
    requireProtocol(socket, options, 'optional');
    return socket;
  });
}

/** Dials, shakes hands and lets `judge` decide, which closes the socket by throwing. What nobody judged is trusted by nobody. */
export async function establish<T>(
  options: DialTlsOptions,
  context: () => ConnectionOptions,
  judge: (socket: TLSSocket) => T,
): Promise<T> {
  const where = `${options.host}:${options.port}`;
  const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
  let step = 'the name to resolve and TCP to connect';
  const deadline = new AbortController();
  const timer = options.clock.after(timeoutMs, () => {
    const message = `expected ${step} at ${where} within ${timeoutMs} ms, no answer: the address may be filtered or overloaded`;
    deadline.abort(new JumpgateError('timeout', message, { source: 'peer', retry: 'later' }));
  });
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  try {
    const raw = await dial({ host: options.host, port: options.port, lookup: options.lookup, signal });
    step = 'the TLS handshake to end';
    const socket = await handshake({ raw, options, context: context(), signal, where });
    try {
      return judge(socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  } finally {
    timer[Symbol.dispose]();
  }
}

interface Handshake {
  readonly raw: Socket;
  readonly options: DialTlsOptions;
  readonly context: ConnectionOptions;
  readonly signal: AbortSignal;
  readonly where: string;
}

function handshake({ raw, options, context, signal, where }: Handshake): Promise<TLSSocket> {
  const servername = serverNameFor(options.serverName ?? options.host);
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      rejectUnauthorized: false,
      ...context,
      socket: raw,
      ALPNProtocols: [options.alpn],
      ...(servername === undefined ? {} : { servername }),
    });
    const settle = (outcome: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      outcome();
    };
    const onAbort = (): void => {
      socket.destroy();
      settle(() => reject(reasonOf(signal)));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', () => settle(() => resolve(socket)));
    // Stays for the life of the socket: an error without a listener would crash the process.
    socket.on('error', (cause) => {
      raw.destroy();
      settle(() => reject(handshakeError(cause, where, options.alpn)));
    });
    socket.once('close', () => settle(() => reject(handshakeError(undefined, where, options.alpn))));
    if (signal.aborted) onAbort();
  });
}

/** The one translation of OpenSSL's and Node's handshake errors. */
function handshakeError(cause: unknown, where: string, alpn: string): JumpgateError {
  const details = { source: 'peer', retry: 'later', cause } as const;
  if (codeOf(cause)?.includes('NO_APPLICATION_PROTOCOL') === true) {
    return new JumpgateError('alpn', `expected ${where} to speak ${alpn}, it refused that protocol`, details);
  }
  const reason = cause === undefined ? 'the connection was closed' : tlsReason(cause);
  if (isChainFault(codeOf(cause))) {
    const message = `the certificate of ${where} was refused (${codeOf(cause)}): ${reason}`;
    return new JumpgateError('untrusted', message, details);
  }
  return new JumpgateError('tls', `expected a TLS handshake with ${where}, found: ${reason}`, details);
}

function verified(socket: TLSSocket, options: ServerTlsConnectOptions, answer: AlpnAnswer): VerifiedConnection {
  requireProtocol(socket, options, answer);
  const identity = judge(socket, options.verify, `${options.host}:${options.port}`);
  return { socket, identity, alpn: options.alpn, remoteAddress: socket.remoteAddress ?? '' };
}

function requireProtocol(socket: TLSSocket, { alpn, host, port }: DialTlsOptions, answer: AlpnAnswer): void {
  const agreed = socket.alpnProtocol;
  if (agreed === alpn || (answer === 'optional' && typeof agreed !== 'string')) return;
  const message = `expected ${host}:${port} to agree on ${alpn}, found ${String(agreed)}`;
  throw new JumpgateError('alpn', message, { source: 'peer', retry: 'later' });
}

function judge(socket: TLSSocket, verify: ChainVerifier, where: string): VerifiedIdentity {
  const peer = peerChain(socket);
  if (peer.kind === 'rejected') throw untrusted(peer, where);
  const verdict = verify(peer.chain);
  if (verdict.kind === 'rejected') throw untrusted(verdict, where);
  return verdict;
}

function untrusted(failure: VerificationFailure, where: string): JumpgateError {
  const cause = new JumpgateError(failure.code, failure.message, { source: 'peer' });
  return new JumpgateError(
    'untrusted',
    `the certificate of ${where} was refused (${failure.code}): ${failure.message}`,
    {
      source: 'peer',
      retry: 'later',
      cause,
    },
  );
}
