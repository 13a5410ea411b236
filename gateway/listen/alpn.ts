/** Turns a TLS listener's connections into calls, by ALPN. */
import { type CallConnections, type CallListener } from './connections.ts';
import { type TlsListener } from '../../trust-bundles/tls/accept.ts';

/** The protocol of an ALPN name; clients without ALPN speak HTTP/1.1. */
export function protocolOf(alpn: string | undefined): 'http1' | 'http2' {
  return alpn === 'h2' ? 'http2' : 'http1';
}

/** A listener for calls over a TLS listener and the connections it has handed over. */
export function tlsCallListener(listener: TlsListener, connections: CallConnections): CallListener {
  return {
    address: listener.address,
    stopAccepting: () => listener.stopAccepting(),
    drain: async (deadlineMs) => {
      await listener.stopAccepting();
      await connections.drain(deadlineMs);
    },
    [Symbol.asyncDispose]: async () => {
      connections[Symbol.dispose]();
      await listener[Symbol.asyncDispose]();
    },
  };
}
