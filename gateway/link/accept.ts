/** The jump listener: admits exactly the gateways of registered peers, and strangers to `jumpgate-join` alone. */
import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type BindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { type StrangerConnection, type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { type Divert } from '../../trust-bundles/tls/accept.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { acceptLimits } from '../listen/accept-limits.ts';
import { linkHttp2 } from '../socket/connection-limits.ts';
import { serveLink, type AcceptedLink, type AcceptLinkOptions, type AdmittedConnection } from './accepted-link.ts';
import { peerOf, verifyGatewayOf, verifyPeerGateway } from './gateway-identity.ts';

/** Links under our old SVID that cannot be re-proved are turned away one by one, so that a peer always has one left while it dials anew. */
const TURN_AWAY_EVERY_MS = 2_000;

/** The dialler's PINGs come more often: a link that is silent for so long has probably lost it. */
const PROBE_MS_MAX = 30_000;

/** What the jump listener needs. */
export interface LinkListenerOptions extends Omit<AcceptLinkOptions, 'limits' | 'linkMaxAgeMs' | 'onLink' | 'judge'> {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  /** Default: every connection is a gateway's. */
  readonly divert?: Divert | undefined;
  readonly snapshot: SnapshotSource;
  /** Serves whoever redeems an invite. */
  readonly onJoin: (connection: StrangerConnection) => void;
}

/** A bound jump listener. Disposing of it cuts its links. */
export interface LinkListener extends AsyncDisposable {
  readonly address: ServerAddress;
  /** Links whose hello has come. */
  links(): readonly AcceptedLink[];
  /** Calls `listener` with the peer's name whenever its hello has come over a new link. */
  watch(listener: (peer: string) => void): Disposable;
  /** Takes no new connections. */
  stopAccepting(): Promise<void>;
  /** Takes no new calls; resolves when no link is left or `signal` is aborted. */
  drain(signal: AbortSignal): Promise<void>;
}

/** Listens. Throws what `listenMutualTls` throws. */
export async function listenForLinks(options: LinkListenerOptions): Promise<LinkListener> {
  const { snapshot, svid, clock, log } = options;
  const { limits } = snapshot.current();
  const keepAliveProbeMs = Math.min(limits.keepAliveProbeMs, PROBE_MS_MAX);
  const connections = new Set<AdmittedConnection>();
  const watchers = new Set<(peer: string) => void>();
  const onLink = (link: AcceptedLink): void => {
    for (const watcher of [...watchers]) watcher(link.peer.name);
  };
  const judge: AcceptLinkOptions['judge'] = (peer) => (chain) =>
    verifyGatewayOf(snapshot.current(), peer.name, { chain, role: 'client', nowMs: clock.now() });
  const serving = { ...options, limits: linkHttp2(limits), onLink, judge };
  const onConnection = (connection: VerifiedConnection): void => {
    const now = snapshot.current();
    const peer = peerOf(now, connection.identity);
    if (peer === undefined) {
      connection.socket.destroy();
      return;
    }
    const admitted = serveLink(connection, peer, { ...serving, linkMaxAgeMs: now.linkMaxAgeMs });
    connections.add(admitted);
    void admitted.closed.then(() => connections.delete(admitted));
  };
  const listener = await listenMutualTls({
    address: options.address,
    bind: options.bind,
    divert: options.divert,
    svid,
    alpn: ['h2'],
    admit: (chain) => verifyPeerGateway(snapshot.current(), { chain, role: 'client', nowMs: clock.now() }),
    onConnection,
    stranger: { alpn: ['jumpgate-join'], onConnection: options.onJoin },
    log,
    clock,
    limits: { ...acceptLimits(limits), keepAliveProbeMs },
  });
  const watches = [
    snapshot.watch(() => closeUntrusted(connections, options)),
    svid.watch((next) => {
      if (next !== undefined) turnAway(connections, clock);
      else for (const connection of connections) connection.finish();
    }),
  ];
  return {
    address: listener.address,
    links: () => [...connections].flatMap(({ link }) => (link === undefined ? [] : [link])),
    watch: (watcher) => {
      watchers.add(watcher);
      return { [Symbol.dispose]: () => void watchers.delete(watcher) };
    },
    stopAccepting: () => listener.stopAccepting(),
    drain: (signal) => drain(connections, signal),
    [Symbol.asyncDispose]: async () => {
      for (const watch of watches) watch[Symbol.dispose]();
      for (const connection of connections) connection.destroy();
      await listener[Symbol.asyncDispose]();
    },
  };
}

/** Verifies every link again: a peer that is gone, has another gateway ID or whose chain no longer holds is cut at once. */
function closeUntrusted(
  connections: ReadonlySet<AdmittedConnection>,
  options: { readonly snapshot: SnapshotSource; readonly clock: Clock; readonly log: Logger },
): void {
  const now = options.snapshot.current();
  const nowMs = options.clock.now();
  for (const connection of [...connections]) {
    const { identity, peer } = connection;
    const verdict = verifyPeerGateway(now, { chain: identity.chain, role: 'client', nowMs });
    const known = verdict.kind === 'verified' && peerOf(now, verdict)?.name === peer.name;
    if (known) continue;
    const reason = verdict.kind === 'rejected' ? verdict.message : 'the peer has another name now';
    options.log.info('link closed that no longer verifies', { peer: peer.name, reason });
    connection.destroy();
  }
}

function turnAway(connections: ReadonlySet<AdmittedConnection>, clock: Clock): void {
  const perPeer = new Map<string, number>();
  for (const connection of connections) {
    if (connection.link?.reproves === true) continue;
    const position = (perPeer.get(connection.peer.name) ?? 0) + 1;
    perPeer.set(connection.peer.name, position);
    const timer = clock.after(position * TURN_AWAY_EVERY_MS, () => {
      if (connection.link?.reproves !== true) connection.finish();
    });
    void connection.closed.then(() => timer[Symbol.dispose]());
  }
}

async function drain(connections: ReadonlySet<AdmittedConnection>, signal: AbortSignal): Promise<void> {
  for (const connection of connections) connection.finish();
  const all = Promise.all([...connections].map((connection) => connection.closed));
  if (signal.aborted) return;
  const late = Promise.withResolvers<undefined>();
  const onAbort = (): void => late.resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([all, late.promise]);
  signal.removeEventListener('abort', onAbort);
}
