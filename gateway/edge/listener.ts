/** A listener for callers from outside: public TLS, HTTP/1.1 and HTTP/2 by ALPN. */
import { type Logger } from '../../base/log.ts';
import { type BindServer } from '../../base/net/bind-server.ts';
import { limitsWith, type ListenerLimits } from '../../federation/resources/limits.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { type TlsCredentials } from '../../trust-bundles/tls/context.ts';
import { listenServerTls } from '../../trust-bundles/tls/listen.ts';
import { acceptLimits } from '../listen/accept-limits.ts';
import { protocolOf } from '../listen/alpn.ts';
import { callListener, type CallListener } from '../listen/call-listener.ts';
import { CallConnections, type ListenHost } from '../listen/connections.ts';
import { EdgeCalls } from './calls.ts';
import { type EdgeDeps, EdgePlans } from './plans.ts';

/** What an edge needs. */
export interface EdgeListenOptions {
  /** Name of the Edge document: it names the caller. */
  readonly name: string;
  readonly address: BindAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly credentials: TlsCredentials;
  readonly deps: EdgeDeps;
  readonly host: ListenHost;
  readonly log: Logger;
  /** Where they differ from the mesh's. */
  readonly limits?: ListenerLimits | undefined;
}

/** An edge, whose certificate can be replaced without closing anything. */
export interface EdgeListener extends CallListener {
  /** Throws `certificate-unusable` and keeps the old pair when the new one does not fit. */
  replaceCertificate(credentials: TlsCredentials): void;
}

/** Opens the edge. Throws `address-in-use`, `listen-failed` or `certificate-unusable`. */
export async function openEdge(options: EdgeListenOptions): Promise<EdgeListener> {
  const { name, deps, host, log } = options;
  const limits = limitsWith(deps.views.current().snapshot.limits, options.limits);
  const connections = new CallConnections(host, 'strangers', limits);
  const plans = new EdgePlans(name, limits, deps);
  const listener = await listenServerTls({
    address: options.address,
    bind: options.bind,
    credentials: options.credentials,
    alpn: ['h2', 'http/1.1'],
    log,
    clock: host.clock,
    limits: acceptLimits(limits),
    onConnection: ({ socket, alpn, remoteAddress }) => {
      const protocol = protocolOf(alpn);
      const listener = new EdgeCalls(plans, { protocol, remoteAddress });
      connections.serve({ socket, protocol, scheme: 'https', listener });
    },
  });
  return {
    ...callListener(listener, connections),
    replaceCertificate: (credentials) => {
      listener.replaceCertificate(credentials);
    },
  };
}
