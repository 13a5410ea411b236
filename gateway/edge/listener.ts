/** A listener for callers from outside: public TLS, HTTP/1.1 and HTTP/2 by ALPN. */
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { type TlsCredentials } from '../../trust-bundles/tls/context.ts';
import { listenServerTls } from '../../trust-bundles/tls/listen.ts';
import { recordRefusals } from '../forward/entry.ts';
import { type CallListener, createCallConnections, type ListenLimits } from '../listen/connections.ts';
import { protocolOf, tlsCallListener } from '../listen/tls.ts';
import { edgeCall, type EdgeDeps, edgeEntry } from './call.ts';

/** What an edge needs. */
export interface EdgeListenOptions {
  /** Name of the Edge document: it names the caller. */
  readonly name: string;
  readonly address: BindAddress;
  readonly credentials: TlsCredentials;
  readonly deps: EdgeDeps;
  readonly log: Logger;
  readonly limits?: Partial<ListenLimits>;
}

/** An edge, whose certificate can be replaced without closing anything. */
export interface EdgeListener extends CallListener {
  /** Throws `certificate-unusable` and keeps the old pair when the new one does not fit. */
  replaceCertificate(credentials: TlsCredentials): void;
}

/** Opens the edge. Throws `address-in-use`, `listen-failed` or `certificate-unusable`. */
export async function openEdge(options: EdgeListenOptions): Promise<EdgeListener> {
  const { name, deps, log } = options;
  const connections = createCallConnections(deps.clock, options.limits);
  const refusals = recordRefusals(edgeEntry(name), deps);
  const listener = await listenServerTls({
    address: options.address,
    credentials: options.credentials,
    alpn: ['h2', 'http/1.1'],
    log,
    clock: deps.clock,
    onConnection: ({ socket, alpn, remoteAddress }) => {
      connections.serve({
        socket,
        protocol: protocolOf(alpn),
        scheme: 'https',
        remoteAddress,
        refusals,
        onCall: (call) => {
          edgeCall(call, name, deps).catch((error: unknown) => {
            log.error('a call failed in an unforeseen way', { error: messageOf(error), edge: name });
            call.abort('internal');
          });
        },
      });
    },
  });
  return {
    ...tlsCallListener(listener, connections),
    replaceCertificate: (credentials) => {
      listener.replaceCertificate(credentials);
    },
  };
}
