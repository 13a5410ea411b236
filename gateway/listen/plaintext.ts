/** A plaintext listener that tells HTTP/1.1 from HTTP/2 by the connection preface (RFC 9113 §3.4). */
import { createServer, type Socket } from 'node:net';

import { type BindServer } from '../../base/net/bind-server.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { type RequestListener } from '../message/stream.ts';
import { acceptOn, type CallListener, callListener } from './call-listener.ts';
import { CallConnections, type ListenHost } from './connections.ts';

/** The first line of the preface is enough: no HTTP/1.1 request line is `PRI * HTTP/2.0`. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n');

/** Where to listen and who takes the calls. */
export interface PlaintextListenOptions {
  readonly address: BindAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly host: ListenHost;
  /** Makes the listener for the requests of one connection. */
  readonly listenerFor: (protocol: 'http1' | 'http2') => RequestListener;
  readonly limits: Limits;
}

/**
 * Listens. A Unix socket has mode 0600: whoever can connect is believed to be the one caller of the listener, so only
 * our own user (and root) may; workloads under other users call by mutual TLS or loopback. Throws `address-in-use` or
 * `listen-failed`, and for a path over 107 bytes `socket-path-too-long`.
 */
export async function listenPlaintext(options: PlaintextListenOptions): Promise<CallListener> {
  const connections = new CallConnections(options.host, 'own', options.limits);
  const { keepAliveProbeMs: keepAliveInitialDelay } = options.limits;
  const kept = { keepAlive: true, keepAliveInitialDelay };
  // What FIN means is the engine's to say: behind a request it cancels the call, in a switched protocol it ends one half.
  const server = createServer({ allowHalfOpen: true, noDelay: true, ...kept }, (socket) => {
    if (connections.hold(socket)) sniff(socket, options, connections);
  });
  return callListener(await acceptOn(server, options), connections);
}

function sniff(socket: Socket, options: PlaintextListenOptions, connections: CallConnections): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = options.host.clock.after(connections.limits.headersMs, () => socket.destroy());
  const settle = (): void => {
    socket.off('data', onData).off('end', onEnd);
    timer[Symbol.dispose]();
  };
  const onEnd = (): void => {
    settle();
    socket.destroy();
  };
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const common = Math.min(seen.length, PREFACE.length);
    const mayBeHttp2 = seen.subarray(0, common).equals(PREFACE.subarray(0, common));
    if (mayBeHttp2 && seen.length < PREFACE.length) return;
    settle();
    socket.pause();
    socket.unshift(seen);
    const protocol = mayBeHttp2 ? 'http2' : 'http1';
    // An HTTP/2 connection has no half: its end is the end of all streams.
    if (mayBeHttp2) socket.allowHalfOpen = false;
    connections.serve({ socket, protocol, scheme: 'http', listener: options.listenerFor(protocol) });
    socket.resume();
  };
  socket.on('data', onData);
  socket.once('end', onEnd);
  socket.once('close', () => timer[Symbol.dispose]());
}
