/** Raw ends for TLS tests: clients that break rules, and waits for named states. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

import { type TlsListener } from '../../trust-bundles/tls/accept.ts';

/** The port of a listener on TCP. */
export function portOf(listener: Pick<TlsListener, 'address'>): number {
  if (listener.address.kind !== 'tcp') throw new Error('expected a TCP listener');
  return listener.address.port;
}

/** A client of node:tls that believes everything; what it offers is in `options`. */
export function rawTls(port: number, options: ConnectionOptions): TLSSocket {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  return socket;
}

/** A TCP connection. */
export async function rawTcp(port: number): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

/** How a connection ended: everything that it received, and the code of its error if there was one. */
export async function ended(socket: Socket): Promise<{ readonly received: string; readonly code: string | undefined }> {
  let received = '';
  let code: string | undefined;
  socket.on('data', (data: Buffer) => (received += data.toString('latin1')));
  socket.on('error', (error: Error & { code?: string }) => (code = error.code));
  socket.on('end', () => socket.end());
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return { received, code };
}
