/** The listener of one import: plaintext with one fixed caller, or mutual TLS for our own trust domain. */
import { createServer, type Socket } from 'node:net';

import { type Logger } from '../../base/log.ts';
import { type BindServer, formatAddress } from '../../base/net/bind-server.ts';
import { limitsWith, type Limits } from '../../federation/resources/limits.ts';
import { type OutboundListenerSpec } from '../../federation/resources/values.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type CallHost } from '../forward/call-host.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { type Views } from '../forward/view.ts';
import { acceptOn, callListener, type CallListener } from '../listen/call-listener.ts';
import { admitOwn } from '../listen/own-callers.ts';
import { ProvenConnections } from '../listen/proven-connections.ts';
import { acceptLimits } from '../listen/accept-limits.ts';
import { entryOf } from '../refusal/reason.ts';
import { EntryPlan, type EntryRefusal } from './entry-plan.ts';
import { EntryTunnel } from './entry-tunnel.ts';
import { resetSocket } from './reset-socket.ts';

/** What the listener of an import needs. */
export interface TunnelListenOptions {
  /** Name of the import. */
  readonly imported: string;
  readonly spec: OutboundListenerSpec;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly views: Views;
  readonly links: PeerLinks;
  readonly host: CallHost;
  readonly snapshots: SnapshotSource;
  /** Our own SVID, shown by mutual-TLS listeners. */
  readonly svid: SvidSource;
  readonly log: Logger;
}

/** Opens the listener. Throws `address-in-use` or `listen-failed`. */
export async function openTunnelListener(options: TunnelListenOptions): Promise<CallListener> {
  const { caller } = options.spec;
  return caller.kind === 'mutual-tls' ? openMutualTls(options) : openPlaintext(options, caller.id);
}

async function openPlaintext(options: TunnelListenOptions, caller: SpiffeId): Promise<CallListener> {
  const { spec } = options;
  const connections = new TunnelConnections(options);
  const server = createServer(
    {
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: connections.limits.keepAliveProbeMs,
    },
    (socket) => connections.serve(socket, caller),
  );
  const acceptor = await acceptOn(server, { address: spec.address, bind: options.bind });
  connections.name = formatAddress(acceptor.address);
  return callListener(acceptor, connections);
}

async function openMutualTls(options: TunnelListenOptions): Promise<CallListener> {
  const { spec, snapshots, svid, log, host } = options;
  const { clock } = host;
  const connections = new TunnelConnections(options);
  const admit = (chain: readonly Uint8Array[]): ReturnType<typeof admitOwn> =>
    admitOwn(chain, snapshots.current(), clock.now());
  const proven = new ProvenConnections(clock, admit);
  const listener = await listenMutualTls({
    address: spec.address,
    bind: options.bind,
    svid,
    // What is inside is the service's own protocol, and so is its name.
    alpn: [],
    alpnOffer: 'any',
    admit,
    log,
    clock,
    limits: acceptLimits(connections.limits),
    onConnection: ({ socket, identity }) => {
      proven.add(socket, identity);
      socket.allowHalfOpen = true;
      socket.pause();
      connections.serve(socket, identity.id);
    },
  });
  connections.name = formatAddress(listener.address);
  const trust = snapshots.watch(() => {
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

/** The connections of one listener: each becomes a tunnel, or is reset. Dispose of it to reset them all. */
class TunnelConnections implements Disposable {
  readonly limits: Limits;
  readonly #options: TunnelListenOptions;
  /** A connection that is being refused has no tunnel. */
  readonly #sockets = new Map<Socket, EntryTunnel | undefined>();
  #plan: EntryPlan | undefined;
  #name = '';
  #onEmpty = (): void => undefined;

  constructor(options: TunnelListenOptions) {
    this.#options = options;
    this.limits = limitsWith(options.snapshots.current().limits, options.spec.limits);
  }

  /** The address as bound, for the log. */
  set name(name: string) {
    this.#name = name;
  }

  /** Takes a paused connection over. */
  serve(socket: Socket, caller: SpiffeId): void {
    const { imported, views, links, host } = this.#options;
    if (this.#sockets.size >= this.limits.connectionsPerListener) {
      resetSocket(socket);
      return;
    }
    this.#sockets.set(socket, undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#onEmpty();
    });
    this.#plan ??= new EntryPlan({ imported, listener: this.#name, views, links, budgets: host.budgets.outbound });
    const judged = this.#plan.judge(caller);
    if (judged.kind === 'refusal') {
      resetSocket(socket);
      this.#record(judged);
      return;
    }
    const { handshakeMs, responseDeadlineMs, tunnelIdleMs } = this.limits;
    const waits = { helloMs: handshakeMs, answerMs: responseDeadlineMs, idleMs: tunnelIdleMs };
    const tunnel = new EntryTunnel(host, socket, judged, waits);
    this.#sockets.set(socket, tunnel);
    tunnel.begin();
  }

  /** Resolves when every tunnel has ended, or was cut after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#options.host.clock.after(deadlineMs, () => this[Symbol.dispose]());
      this.#onEmpty = (): void => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
  }

  [Symbol.dispose](): void {
    for (const [socket, tunnel] of this.#sockets) {
      if (tunnel === undefined) resetSocket(socket);
      else tunnel.cut('draining');
    }
  }

  /** What is refused at once never becomes a tunnel. */
  #record({ reason, verdict, subject }: EntryRefusal): void {
    const { clock, sink } = this.#options.host;
    sink.record({
      subject,
      startedAtMs: clock.now(),
      durationMs: 0,
      host: '',
      method: 'CONNECT',
      target: '',
      protocol: 'tcp',
      status: entryOf(reason).status,
      grpcStatus: -1,
      verdict,
      reason,
      bytesIn: 0,
      bytesOut: 0,
    });
  }
}
