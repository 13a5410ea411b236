/** TLS listeners: mutual TLS, where verification decides who comes in, and one-way TLS for callers who prove nothing. */
import { type TlsOptions, type TLSSocket } from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type Verification } from '../verify/verified-identity.ts';
import { type SvidSource } from '../x509/svid.ts';
import { type AcceptLimits, acceptTls, type Divert, type Refuse, type TlsListener } from './accept.ts';
import { type BindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { type StrangerConnection, type VerifiedConnection } from './connection.ts';
import { mutualTlsContext, serverTlsContext, type TlsCredentials } from './context.ts';
import { peerChain } from './peer-chain.ts';

interface ListenOptions {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits?: Partial<AcceptLimits>;
  /** Default: every connection is for this listener. */
  readonly divert?: Divert | undefined;
}

/** How a mutual-TLS listener admits. */
export interface MutualTlsListenOptions extends ListenOptions {
  readonly svid: SvidSource;
  /** Accepted protocol names, preferred first. */
  readonly alpn: readonly string[];
  /**
   * `exactly-one` (the default, as links demand): a client offers one name. `negotiate`: it may offer several, or none
   * where `http/1.1` is accepted, as ordinary HTTP clients do. `any`: whatever it offers first, or nothing (then `alpn`
   * of the connection is empty), where what is spoken inside is not ours to know.
   */
  readonly alpnOffer?: 'exactly-one' | 'negotiate' | 'any';
  /** Judges the client's chain. Whatever it throws is a refusal. */
  readonly admit: (chain: readonly Uint8Array[], alpn: string) => Verification;
  /** Takes over a verified connection, in the same turn of the event loop, before a byte of it was read. */
  readonly onConnection: (connection: VerifiedConnection) => void;
  /** Protocols that admit clients without verification, such as `jumpgate-join`: exact names, apart from `alpn`. */
  readonly stranger?: {
    readonly alpn: readonly string[];
    readonly onConnection: (connection: StrangerConnection) => void;
  };
}

/** How a one-way TLS listener accepts. */
export interface ServerTlsListenOptions extends ListenOptions {
  readonly credentials: TlsCredentials;
  /** Accepted protocol names, preferred first; a client that offers none is accepted too. */
  readonly alpn: readonly string[];
  readonly onConnection: (connection: StrangerConnection) => void;
}

/** A one-way TLS listener, whose certificate can be replaced without closing anything. */
export interface ServerTlsListener extends TlsListener {
  /** Throws `certificate-unusable` and keeps the old pair when the new one does not fit. */
  replaceCertificate(credentials: TlsCredentials): void;
}

/**
 * Listens for mutual TLS 1.3. A client is handed on only after `admit` has verified its chain; every other outcome
 * (no certificate, resumed session, no or other ALPN, a verdict of rejected, an exception) closes the socket. New
 * handshakes follow the SVID; without one all are refused, and one that TLS cannot use is logged and the old one kept.
 */
export async function listenMutualTls(options: MutualTlsListenOptions): Promise<TlsListener> {
  const acceptor = await acceptTls({
    ...options,
    limits: options.limits,
    context: mutualTlsContext(options.svid.current()),
    server: { requestCert: true, ALPNCallback: alpnChooser(options) },
    onSecure: (socket, refuse) => {
      admitClient(options, socket, refuse);
    },
  });
  const watch = options.svid.watch((svid) => {
    try {
      acceptor.replaceContext(mutualTlsContext(svid));
    } catch (error) {
      options.log.error('new svid is unusable, keeping the old one', { error });
    }
  });
  return {
    address: acceptor.address,
    stopAccepting: () => acceptor.stopAccepting(),
    [Symbol.asyncDispose]: async () => {
      watch[Symbol.dispose]();
      await acceptor[Symbol.asyncDispose]();
    },
  };
}

/** Listens for TLS 1.2 and 1.3 without asking for a client certificate: edges. */
export async function listenServerTls(options: ServerTlsListenOptions): Promise<ServerTlsListener> {
  const acceptor = await acceptTls({
    ...options,
    limits: options.limits,
    context: serverTlsContext(options.credentials),
    server: { requestCert: false, ALPNProtocols: [...options.alpn] },
    onSecure: (socket) => {
      options.onConnection(strangerOf(socket));
    },
  });
  return {
    address: acceptor.address,
    stopAccepting: () => acceptor.stopAccepting(),
    [Symbol.asyncDispose]: () => acceptor[Symbol.asyncDispose](),
    replaceCertificate: (credentials) => {
      acceptor.replaceContext(serverTlsContext(credentials));
    },
  };
}

/** `undefined` makes OpenSSL answer no_application_protocol. Must not throw: that would crash the process (CVE-2026-21637). */
function alpnChooser(options: MutualTlsListenOptions): NonNullable<TlsOptions['ALPNCallback']> {
  const accepted = [...options.alpn, ...(options.stranger?.alpn ?? [])];
  return ({ protocols }) => {
    if (options.alpnOffer === 'any') return protocols[0];
    if (options.alpnOffer !== 'negotiate' && protocols.length !== 1) return undefined;
    return accepted.find((name) => protocols.includes(name));
  };
}

function admitClient(options: MutualTlsListenOptions, socket: TLSSocket, refuse: Refuse): void {
  const alpn = agreedProtocol(options, socket);
  if (alpn === undefined) {
    refuse('alpn', `expected ALPN ${options.alpn.join(' or ')}, the client offered none`);
    return;
  }
  if (options.stranger?.alpn.includes(alpn) === true) {
    options.stranger.onConnection(strangerOf(socket));
    return;
  }
  const peer = peerChain(socket);
  const verdict = peer.kind === 'chain' ? options.admit(peer.chain, alpn) : peer;
  if (verdict.kind === 'rejected') {
    refuse(verdict.code, verdict.message);
    return;
  }
  options.onConnection({ socket, identity: verdict, alpn, remoteAddress: socket.remoteAddress ?? '' });
}

function agreedProtocol(options: MutualTlsListenOptions, socket: TLSSocket): string | undefined {
  if (typeof socket.alpnProtocol === 'string') return socket.alpnProtocol;
  if (options.alpnOffer === 'any') return '';
  return options.alpnOffer === 'negotiate' && options.alpn.includes('http/1.1') ? 'http/1.1' : undefined;
}

function strangerOf(socket: TLSSocket): StrangerConnection {
  return {
    socket,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined,
    serverName: serverNameOf(socket),
    remoteAddress: socket.remoteAddress ?? '',
  };
}

/** @types/node knows `servername` on sockets of a client only. */
function serverNameOf(socket: TLSSocket): string | undefined {
  const name: unknown = 'servername' in socket ? socket.servername : undefined;
  return typeof name === 'string' ? name.toLowerCase() : undefined;
}
