/** A client of a tunnel: connects, reads so many bytes, and tells how the connection ended. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';

import { codeOf } from '../../base/errors.ts';
import { type TunnelRig } from './tunnel-rig.ts';

/** Connects to an import's listener, as a client that may end its half. */
export function dial(rig: TunnelRig, name = 'db', options: Partial<NetConnectOpts> = {}): Socket {
  return connect({ port: rig.port(name), host: '127.0.0.1', allowHalfOpen: true, noDelay: true, ...options });
}

/** How a connection ended: `end` for FIN, else the code of the error. */
export async function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.resume();
    socket.once('end', () => resolve('end'));
    socket.once('error', (error) => resolve(codeOf(error) ?? 'error'));
  });
}

/** Bytes of each socket that no test has taken yet. */
const unread = new WeakMap<Socket, Buffer[]>();

/** The next `bytes` bytes that come. */
export async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks = unread.get(socket) ?? [];
  if (!unread.has(socket)) {
    unread.set(socket, chunks);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  }
  const had = (): number => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  while (had() < bytes) await once(socket, 'data');
  const all = Buffer.concat(chunks);
  chunks.splice(0, chunks.length, all.subarray(bytes));
  return all.subarray(0, bytes);
}

/** The next bytes must be these. */
export async function expectBytes(socket: Socket, text: string): Promise<void> {
  assert.equal((await read(socket, text.length)).toString(), text);
}
