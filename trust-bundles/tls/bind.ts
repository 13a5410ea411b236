/** Binding a server to a TCP address or a Unix socket, with errors that say what to do. */
import { unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';

import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';

/** Where a TLS listener binds; port 0 lets the system choose. `host` is a name or an IP literal without brackets. */
export type TlsAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Connections that the kernel holds for us between two turns of the event loop. */
const BACKLOG = 511;

/**
 * Starts to listen; resolves with the address as bound. The socket file of a process that died is removed first.
 * Throws `address-in-use` or `listen-failed`.
 */
export async function bindServer(server: Server, address: TlsAddress): Promise<TlsAddress> {
  try {
    await listen(server, address);
  } catch (error) {
    if (address.kind !== 'unix' || codeOf(error) !== 'EADDRINUSE' || (await isAlive(address.path))) {
      throw bindError(address, error);
    }
    await unlink(address.path);
    await listen(server, address).catch((again: unknown) => {
      throw bindError(address, again);
    });
  }
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return address;
  return { kind: 'tcp', host: bound.address, port: bound.port };
}

function listen(server: Server, address: TlsAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const onListening = (): void => {
      server.off('error', onError);
      resolve();
    };
    const onError = (error: Error): void => {
      server.off('listening', onListening);
      reject(error);
    };
    server.once('listening', onListening);
    server.once('error', onError);
    if (address.kind === 'tcp') server.listen({ host: address.host, port: address.port, backlog: BACKLOG });
    else server.listen({ path: address.path, backlog: BACKLOG });
  });
}

/** Whether some process still accepts on the Unix socket. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED'));
  });
}

function bindError(address: TlsAddress, cause: unknown): JumpgateError {
  const where = address.kind === 'tcp' ? `${address.host}:${address.port}` : address.path;
  const code = codeOf(cause) === 'EADDRINUSE' ? 'address-in-use' : 'listen-failed';
  const hint = code === 'address-in-use' ? ', another process listens there: stop it or choose another address' : '';
  return new JumpgateError(code, `cannot listen on ${where}: ${messageOf(cause)}${hint}`, { source: 'config', cause });
}
