/** Resets a connection, so that its other end sees RST and never takes what it has for all there was. */
import { Socket } from 'node:net';

import { asRecord } from '../../base/brand.ts';

/**
 * Drops what waits to be written and closes with RST. Under TLS it is the connection below that is reset. A Unix socket
 * knows no RST: it is closed, and its other end sees an error only if it had sent what nobody has read.
 */
export function resetSocket(socket: Socket): void {
  socket.on('error', () => undefined);
  if (socket.destroyed) return;
  const below = asRecord(socket)?.['_parent'];
  if (below instanceof Socket) {
    // Not now: under a callback of the TLS layer Node would crash when it returns to it (24.21, segmentation fault).
    setImmediate(() => {
      resetSocket(below);
      socket.destroy();
    });
    return;
  }
  // While its FIN is on the way libuv refuses to reset a socket, and the descriptor would be lost.
  const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isEnding || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
