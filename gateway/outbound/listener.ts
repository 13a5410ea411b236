/** A listener for calls of local workloads: plaintext with one fixed caller, or mutual TLS for our own trust domain. */
import { type Logger } from '../../base/log.ts';
import { messageOf } from '../../base/errors.ts';
import { formatAddress } from '../../base/net/bind-server.ts';
import { type OutboundListenerSpec } from '../../federation/resources/values.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { recordRefusals } from '../forward/entry.ts';
import { type EarlyRefusals, type IncomingCall } from '../forward/exchange.ts';
import { type CallListener, createCallConnections, type ListenLimits } from '../listen/connections.ts';
import { listenPlaintext } from '../listen/plaintext.ts';
import { protocolOf, tlsCallListener } from '../listen/tls.ts';
import { ProvenConnections } from './proven-connections.ts';
import { outboundCall, type OutboundDeps, outboundEntry } from './call.ts';

/** What an outbound listener needs. */
export interface OutboundListenOptions {
  readonly spec: OutboundListenerSpec;
  readonly deps: OutboundDeps;
  /** Our own SVID, shown by mutual-TLS listeners. */
  readonly svid: SvidSource;
  readonly log: Logger;
  readonly limits?: Partial<ListenLimits>;
}

/** Opens the listener. Throws `address-in-use` or `listen-failed`. */
export async function openOutboundListener(options: OutboundListenOptions): Promise<CallListener> {
  const { spec } = options;
  if (spec.caller.kind === 'mutual-tls') return openMutualTls(options);
  const { id } = spec.caller;
  return listenPlaintext({
    address: spec.address,
    clock: options.deps.clock,
    limits: options.limits,
    onCall: takeCalls(options, id),
    refusals: refusalsOf(options, id),
  });
}

async function openMutualTls(options: OutboundListenOptions): Promise<CallListener> {
  const { deps, svid, log } = options;
  const connections = createCallConnections(deps.clock, options.limits);
  const proven = new ProvenConnections(deps.clock, (chain) => admitOwn(chain, options));
  const listener = await listenMutualTls({
    address: options.spec.address,
    svid,
    alpn: ['h2', 'http/1.1'],
    alpnOffer: 'negotiate',
    admit: (chain) => admitOwn(chain, options),
    log,
    clock: deps.clock,
    onConnection: ({ socket, identity, alpn, remoteAddress }) => {
      proven.add(socket, identity);
      connections.serve({
        socket,
        protocol: protocolOf(alpn),
        scheme: 'https',
        remoteAddress,
        onCall: takeCalls(options, identity.id),
        refusals: refusalsOf(options, identity.id),
      });
    },
  });
  const trust = deps.snapshots.watch(() => {
    const closed = proven.verifyAgain();
    if (closed > 0) log.info('connections closed, their identity is not vouched for any more', { closed });
  });
  const calls = tlsCallListener(listener, connections);
  return {
    ...calls,
    [Symbol.asyncDispose]: async () => {
      trust[Symbol.dispose]();
      await calls[Symbol.asyncDispose]();
    },
  };
}

/** Only the bundle of our own trust domain is offered, so no other domain's SVID can verify. */
function admitOwn(chain: readonly Uint8Array[], options: OutboundListenOptions): Verification {
  const snapshot = options.deps.snapshots.current();
  const own = snapshot.bundles.get(snapshot.trustDomain);
  const bundles = new Map(own === undefined ? [] : [[snapshot.trustDomain, own] as const]);
  return verifySvid({ chain, bundles, role: 'client', nowMs: options.deps.clock.now() });
}

function takeCalls(options: OutboundListenOptions, caller: SpiffeId): (call: IncomingCall) => void {
  const listener = formatAddress(options.spec.address);
  return (call) => {
    outboundCall(call, { caller, listener }, options.deps).catch((error: unknown) => {
      options.log.error('a call failed in an unforeseen way', { error: messageOf(error), listener });
      call.abort('internal');
    });
  };
}

function refusalsOf({ spec, deps }: OutboundListenOptions, caller: SpiffeId): EarlyRefusals {
  return recordRefusals(outboundEntry(formatAddress(spec.address)), deps, caller);
}
