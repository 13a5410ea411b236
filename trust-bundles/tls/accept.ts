/** The accepting half that all TLS listeners share: limits before the handshake, a deadline on it, owned sockets. */
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import {
  createSecureContext,
  createServer as createTlsServer,
  type SecureContextOptions,
  type TlsOptions,
  type TLSSocket,
} from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type BindServer, bindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { serverTlsContext, type TlsCredentials } from './context.ts';
import { tlsReason } from './failure.ts';
import { HandshakeTurns } from './handshake-turns.ts';
import { RefusalLog } from './refusal-log.ts';

/** What one listener takes on. */
export interface AcceptLimits {
  /** From accept to the end of the handshake; Node's own default of 120 s invites slow handshakes. Default 10 s. */
  readonly handshakeTimeoutMs: number;
  /** Default 10,000, as Envoy's guide for edges has it. */
  readonly connectionsMax: number;
  /** Of one remote address other than loopback, so that one host cannot take all. Default 2,500: gateways behind one NAT fit. */
  readonly connectionsPerAddressMax: number;
  /** Handshakes begun in one turn of the event loop, the others in later ones: connections that stand go on. Default 10, as h2o (#2872). */
  readonly handshakesPerTurn: number;
  /** Until a silent connection is probed. Default 30 s, below the 350 s after which load balancers forget a flow. */
  readonly keepAliveProbeMs: number;
}

const DEFAULT_LIMITS: AcceptLimits = {
  handshakeTimeoutMs: 10_000,
  connectionsMax: 10_000,
  connectionsPerAddressMax: 2_500,
  handshakesPerTurn: 10,
  keepAliveProbeMs: 30_000,
};

/** A bound listener. Disposing of it closes its connections too. */
export interface TlsListener extends AsyncDisposable {
  readonly address: ServerAddress;
  /** Takes no new connections from now on; those that it has stay. */
  stopAccepting(): Promise<void>;
}

/** A listener whose certificate can change. */
export interface TlsAcceptor extends TlsListener {
  /** Uses `context` for new handshakes. Throws `certificate-unusable`, keeping the old one, if key and certificate do not fit. */
  replaceContext(context: SecureContextOptions): void;
}

/**
 * Sees a connection before any TLS state exists for it. It calls `proceed` within `withinMs`, with everything that it
 * has read put back, or takes the connection for itself.
 */
export type Divert = (raw: Socket, turn: { readonly withinMs: number; readonly proceed: () => void }) => void;

/** How to accept. */
export interface AcceptOptions {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly context: SecureContextOptions;
  /** Options of the server rather than of its context. */
  readonly server: Pick<TlsOptions, 'requestCert' | 'ALPNCallback' | 'ALPNProtocols'>;
  readonly limits: Partial<AcceptLimits> | undefined;
  /** Default: every connection proceeds. */
  readonly divert?: Divert | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** Called when a handshake has ended. What it throws closes that socket alone. */
  readonly onSecure: (socket: TLSSocket, refuse: Refuse) => void;
}

/** Closes the connection that is being judged, and says why in the log. */
export type Refuse = (code: string, message: string) => void;

/** Binds and accepts. Throws `address-in-use`, `listen-failed` and `certificate-unusable`. */
export async function acceptTls(options: AcceptOptions): Promise<TlsAcceptor> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const refusals = new RefusalLog(options.log, options.clock);
  const { divert } = options;
  // A look before the handshake and the handshake share its deadline.
  const handshakeTimeoutMs = divert === undefined ? limits.handshakeTimeoutMs : limits.handshakeTimeoutMs / 2;
  const terminator = usable(options.context, () =>
    createTlsServer({
      ...options.context,
      ...options.server,
      rejectUnauthorized: false,
      handshakeTimeout: handshakeTimeoutMs,
    }),
  );
  const perAddress = new Map<string, number>();
  // Accepting in a server of our own lets a connection over a limit be closed before any TLS state exists for it.
  const server = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: limits.keepAliveProbeMs });
  server.maxConnections = limits.connectionsMax;
  const owned = ownSockets(server);
  const turns = new HandshakeTurns(limits.handshakesPerTurn, (raw) => terminator.emit('connection', raw));
  server.on('connection', (raw) => {
    raw.on('error', (error) => options.log.debug('socket failed', { error }));
    if (!countAddress(perAddress, raw, limits.connectionsPerAddressMax)) {
      refusals.refused({ remoteAddress: raw.remoteAddress, code: 'address-connections-max' });
      raw.destroy();
      return;
    }
    if (divert === undefined) turns.begin(raw);
    else divert(raw, { withinMs: handshakeTimeoutMs, proceed: () => turns.begin(raw) });
  });
  server.on('drop', (drop) => refusals.refused({ remoteAddress: drop?.remoteAddress, code: 'connections-max' }));
  terminator.on('tlsClientError', (error, socket) => {
    refusals.refused({ remoteAddress: socket.remoteAddress, code: codeOf(error) ?? 'tls', reason: tlsReason(error) });
    socket.destroy();
  });
  terminator.on('secureConnection', (socket) => {
    judge(socket, options, refusals);
  });
  const address = await (options.bind ?? bindServer)(server, options.address);
  server.on('error', (error) => options.log.error('listener failed', { error }));
  return {
    ...owned,
    address,
    replaceContext: (context) => usable(context, () => terminator.setSecureContext(context)),
  };
}

function judge(socket: TLSSocket, options: AcceptOptions, refusals: RefusalLog): void {
  socket.on('error', (error) => {
    options.log.debug('socket failed', { error });
    // After a handshake Node tells of a failure of TLS and leaves the socket open.
    socket.destroy();
  });
  const refuse: Refuse = (code, message) => {
    refusals.refused({ remoteAddress: socket.remoteAddress, code, reason: message });
    socket.destroy();
  };
  try {
    options.onSecure(socket, refuse);
  } catch (error) {
    socket.destroy();
    options.log.error('connection could not be judged', { error });
  }
}

/** The stop verbs of a server, which ends its sockets too, whether or not they have shaken hands. */
export function ownSockets(server: Server): Pick<TlsListener, 'stopAccepting' | typeof Symbol.asyncDispose> {
  const sockets = new Set<Socket>();
  server.on('connection', (raw) => {
    sockets.add(raw);
    raw.once('close', () => sockets.delete(raw));
  });
  const closed = new Promise<void>((resolve) => {
    server.once('close', () => resolve());
  });
  let bound = false;
  server.once('listening', () => (bound = true));
  let stopped = false;
  const stopAccepting = async (): Promise<void> => {
    if (!bound || stopped) return;
    stopped = true;
    server.close();
  };
  return {
    stopAccepting,
    [Symbol.asyncDispose]: async () => {
      await stopAccepting();
      if (!bound) return;
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Counts the connection until it closes; false when its address has too many. */
function countAddress(perAddress: Map<string, number>, raw: Socket, max: number): boolean {
  const address = raw.remoteAddress;
  if (address === undefined || isLoopback(address)) return true;
  const count = perAddress.get(address) ?? 0;
  if (count >= max) return false;
  perAddress.set(address, count + 1);
  raw.once('close', () => {
    const left = (perAddress.get(address) ?? 1) - 1;
    if (left === 0) perAddress.delete(address);
    else perAddress.set(address, left);
  });
  return true;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** Throws `certificate-unusable` for a pair that no listener could use. */
export function checkCredentials(credentials: TlsCredentials): void {
  const context = serverTlsContext(credentials);
  usable(context, () => createSecureContext(context));
}

/** Runs what builds a secure context; OpenSSL's words alone would tell nobody what is wrong. */
function usable<T>(context: SecureContextOptions, build: () => T): T {
  try {
    // Node takes an empty text for no certificate at all, and would fail every handshake instead.
    if (context.cert === '' || context.key === '') throw new Error('certificate or key is empty');
    return build();
  } catch (cause) {
    throw new JumpgateError(
      'certificate-unusable',
      `expected a certificate chain and its private key, found a pair that TLS cannot use: ${tlsReason(cause)}`,
      { source: 'config', cause },
    );
  }
}
