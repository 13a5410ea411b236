/** A plaintext listener that tells HTTP/1.1 from HTTP/2 by the connection preface (RFC 9113 §3.4). */
import { createServer, type Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { bindServer } from '../../trust-bundles/tls/bind.ts';
import { type IncomingCall } from '../forward/exchange.ts';
import { type CallConnections, type CallListener, createCallConnections } from './connections.ts';

/** The first line of the preface is enough: no HTTP/1.1 request line is `PRI * HTTP/2.0`. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n');

/** Time until the first bytes have told the protocol (security.md §3: time to complete a request's headers). */
const FIRST_BYTES_TIMEOUT_MS = 10_000;

/** Where to listen and who takes the calls. */
export interface PlaintextListenOptions {
  readonly address: BindAddress;
  readonly clock: Clock;
  readonly onCall: (call: IncomingCall) => void;
  readonly connectionsMax?: number | undefined;
}

/** Listens. Throws `address-in-use` or `listen-failed`. */
export async function listenPlaintext(options: PlaintextListenOptions): Promise<CallListener> {
  const connections = createCallConnections(options.clock, options.connectionsMax);
  // As node's own HTTP server: a client may send FIN after its request and still wait for the response.
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
    if (connections.hold(socket)) sniff(socket, options, connections);
  });
  server.on('error', () => undefined);
  const address = await bindServer(server, options.address);
  const stopAccepting = (): Promise<void> => {
    // Resolves without waiting for open connections, which go on.
    if (server.listening) server.close();
    return Promise.resolve();
  };
  return {
    address,
    stopAccepting,
    drain: async (deadlineMs) => {
      await stopAccepting();
      await connections.drain(deadlineMs);
    },
    [Symbol.asyncDispose]: async () => {
      await stopAccepting();
      connections[Symbol.dispose]();
    },
  };
}

function sniff(socket: Socket, options: PlaintextListenOptions, connections: CallConnections): void {
  let seen = Buffer.alloc(0);
  const timer = options.clock.after(FIRST_BYTES_TIMEOUT_MS, () => socket.destroy());
  const settle = (): void => {
    timer[Symbol.dispose]();
    socket.off('data', onData).off('end', onEnd);
  };
  const onEnd = (): void => {
    settle();
    socket.destroy();
  };
  const onData = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    const common = Math.min(seen.length, PREFACE.length);
    const mayBeHttp2 = seen.subarray(0, common).equals(PREFACE.subarray(0, common));
    if (mayBeHttp2 && seen.length < PREFACE.length) return;
    settle();
    socket.pause();
    socket.unshift(seen);
    // An HTTP/2 connection has no half: its end is the end of all streams.
    if (mayBeHttp2) socket.allowHalfOpen = false;
    connections.serve({
      socket,
      protocol: mayBeHttp2 ? 'http2' : 'http1',
      scheme: 'http',
      remoteAddress: socket.remoteAddress ?? '',
      onCall: options.onCall,
    });
    if (!mayBeHttp2) socket.resume();
  };
  socket.on('data', onData);
  socket.once('end', onEnd);
  socket.once('close', settle);
}
