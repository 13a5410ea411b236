/** Binds a server of Node's to a TCP address or a Unix socket, with errors that say what to do. */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';

import { codeOf, JumpgateError, messageOf } from '../errors.ts';

/** Where to bind; a TCP port of 0 lets the system choose. */
export type ServerAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** `sun_path` of Linux holds 108 bytes with its final NUL; a longer path would be cut in silence or fail obscurely. */
const SOCKET_PATH_BYTES_MAX = 107;
/** Connecting to the socket needs write permission, so only the owner can. */
const SOCKET_MODE = 0o600;

/**
 * Makes a server serve what comes to an address, and returns the address as bound: {@link bindServer}, or what lets a
 * process have connections that another has accepted. The server has emitted `listening` by then.
 */
export type BindServer = (server: Server, address: ServerAddress) => Promise<ServerAddress>;

/**
 * Listens, and returns the address as bound. A Unix socket is made with mode 0600 (its directory, if missing, 0700); a
 * socket file that nobody answers on is removed first, anything else at that path is left alone.
 * Throws `socket-path-too-long`, `address-in-use`, `address-not-available` or `listen-failed` (source config).
 */
export async function bindServer(server: Server, address: ServerAddress): Promise<ServerAddress> {
  if (address.kind === 'unix') {
    await clearStaleSocket(address.path);
    await listening(server, address, () => bindPrivately(server, address.path));
    chmodSync(address.path, SOCKET_MODE);
    return address;
  }
  await listening(server, address, () => server.listen({ host: address.host, port: address.port }));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return address;
  return { kind: 'tcp', host: bound.address, port: bound.port };
}

/** `host:port`, `[v6]:port` or `unix:PATH`. */
export function formatAddress(address: ServerAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function bindPrivately(server: Server, path: string): void {
  // The socket must never exist with wider permissions, not even until chmod; bind(2) happens within listen().
  const previous = process.umask(0o177);
  try {
    server.listen({ path });
  } finally {
    process.umask(previous);
  }
}

function listening(server: Server, address: ServerAddress, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error): void => {
      server.off('listening', onListening);
      reject(bindError(address, cause));
    };
    const onListening = (): void => {
      server.off('error', onError);
      resolve();
    };
    server.once('error', onError);
    server.once('listening', onListening);
    listen();
  });
}

function bindError(address: ServerAddress, cause: Error): JumpgateError {
  const where = formatAddress(address);
  const details = { source: 'config', cause } as const;
  switch (codeOf(cause)) {
    case 'EADDRINUSE':
      return new JumpgateError(
        'address-in-use',
        `cannot listen on ${where}: another process does; stop it or choose another address`,
        details,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new JumpgateError(
        'address-not-available',
        `cannot listen on ${where}: this machine has no such address`,
        details,
      );
    case 'EACCES':
      return new JumpgateError(
        'listen-failed',
        `cannot listen on ${where}: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, sockets a writable directory`,
        details,
      );
    default:
      return new JumpgateError('listen-failed', `cannot listen on ${where}: ${messageOf(cause)}`, details);
  }
}

async function clearStaleSocket(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX)
    throw new JumpgateError(
      'socket-path-too-long',
      `expected a socket path of at most ${SOCKET_PATH_BYTES_MAX} bytes, found ${bytes}: ${path}; choose a shorter directory`,
      { source: 'config' },
    );
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new JumpgateError(
      'listen-failed',
      `cannot listen on unix:${path}: expected nothing or a socket there, found another kind of file; move it away`,
      { source: 'config' },
    );
  if (await answers(path))
    throw new JumpgateError(
      'address-in-use',
      `cannot listen on unix:${path}: another process answers there; stop it or choose another path`,
      { source: 'config' },
    );
  unlinkSync(path);
}

/** Only a refused connection proves that nobody listens: a full backlog or a missing permission does not. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      socket.destroy();
      resolve(codeOf(error) !== 'ECONNREFUSED');
    });
  });
}
