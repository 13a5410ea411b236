/** A listener for calls of local workloads: plaintext with one fixed caller, or mutual TLS for our own trust domain. */
import { type Logger } from '../../base/log.ts';
import { type BindServer, formatAddress } from '../../base/net/bind-server.ts';
import { limitsWith, type Limits } from '../../federation/resources/limits.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type OutboundListenerSpec } from '../../federation/resources/values.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { acceptLimits } from '../listen/accept-limits.ts';
import { protocolOf } from '../listen/alpn.ts';
import { callListener, type CallListener } from '../listen/call-listener.ts';
import { CallConnections, type ListenHost } from '../listen/connections.ts';
import { admitOwn } from '../listen/own-callers.ts';
import { listenPlaintext } from '../listen/plaintext.ts';
import { ProvenConnections } from '../listen/proven-connections.ts';
import { OutboundCalls, type OutboundDeps } from './calls.ts';

/** What an outbound listener needs. */
export interface OutboundListenOptions {
  readonly spec: OutboundListenerSpec;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly deps: OutboundDeps;
  readonly host: ListenHost;
  readonly snapshots: SnapshotSource;
  /** Our own SVID, shown by mutual-TLS listeners. */
  readonly svid: SvidSource;
  readonly log: Logger;
}

/** Opens the listener. Throws `address-in-use` or `listen-failed`. */
export async function openOutboundListener(options: OutboundListenOptions): Promise<CallListener> {
  const { spec, bind, deps, host, snapshots } = options;
  const limits = limitsWith(snapshots.current().limits, spec.limits);
  if (spec.caller.kind === 'mutual-tls') return openMutualTls(options, limits);
  const caller = spec.caller.id;
  const listener = formatAddress(spec.address);
  return listenPlaintext({
    address: spec.address,
    bind,
    host,
    limits,
    listenerFor: (protocol) => new OutboundCalls(deps, { caller, listener, protocol, scheme: 'http', limits }),
  });
}

async function openMutualTls(options: OutboundListenOptions, limits: Limits): Promise<CallListener> {
  const { deps, host, svid, log } = options;
  const { clock } = host;
  const connections = new CallConnections(host, 'own', limits);
  const name = formatAddress(options.spec.address);
  const admit = (chain: readonly Uint8Array[]): Verification =>
    admitOwn(chain, options.snapshots.current(), clock.now());
  const proven = new ProvenConnections(clock, admit);
  const listener = await listenMutualTls({
    address: options.spec.address,
    bind: options.bind,
    svid,
    alpn: ['h2', 'http/1.1'],
    alpnOffer: 'negotiate',
    admit,
    log,
    clock,
    limits: acceptLimits(limits),
    onConnection: ({ socket, identity, alpn }) => {
      proven.add(socket, identity);
      const protocol = protocolOf(alpn);
      const from = { caller: identity.id, listener: name, protocol, scheme: 'https', limits } as const;
      connections.serve({ socket, protocol, scheme: 'https', listener: new OutboundCalls(deps, from) });
    },
  });
  const trust = options.snapshots.watch(() => {
    const closed = proven.verifyAgain();
    if (closed > 0) log.info('connections closed, their identity is not vouched for any more', { closed });
  });
  const calls = callListener(listener, connections);
  return {
    ...calls,
    [Symbol.asyncDispose]: async () => {
      trust[Symbol.dispose]();
      await calls[Symbol.asyncDispose]();
    },
  };
}
