/** Two gateways' tunnels joined by a plain HTTP/2 connection in place of a link, with a listener for each import. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { branded } from '../../base/brand.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type BindAddress, type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotExport, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { type CallHost } from '../../gateway/forward/call-host.ts';
import { Deadlines } from '../../gateway/forward/deadlines.ts';
import { LiveCalls } from '../../gateway/forward/live-calls.ts';
import { Views } from '../../gateway/forward/view.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { InboundCalls } from '../../gateway/inbound/calls.ts';
import { type CallListener } from '../../gateway/listen/call-listener.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { type ClientConnection } from '../../gateway/message/stream.ts';
import { createCallBudgets } from '../../gateway/process/call-budgets.ts';
import { createServicePools } from '../../gateway/routing/service-pool.ts';
import { type ConnectedHttp2, connectHttp2, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { openTunnelListener } from '../../gateway/tcp/listener.ts';
import { TunnelCalls } from '../../gateway/tcp/tunnel-calls.ts';
import { type CallSubjectFacts, type EndedCall } from '../../gateway/telemetry/call-subject.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { backendTls, NO_SVID } from './backend-tls.ts';
import { listen, WEB } from './forward-rig.ts';
import { euSnapshot, peerOf, US, usSnapshot } from './forward-snapshots.ts';

/** A service of connections. */
export interface TunnelService {
  readonly name: string;
  readonly ports: readonly number[];
  /** For tls; without them it is tcp. */
  readonly serverNames?: readonly string[];
  readonly peers?: readonly string[];
  /** What the importer believes and the exporter does not, and the other way round. */
  readonly imported?: Partial<SnapshotImport>;
  readonly exported?: Partial<SnapshotExport>;
}

/** A tunnel as it was recorded. */
export type TunnelRecord = CallSubjectFacts &
  Pick<EndedCall, 'protocol' | 'method' | 'status' | 'verdict' | 'reason' | 'bytesIn' | 'bytesOut' | 'host'>;

/** What a test may change. */
export interface TunnelRigOptions {
  readonly limits?: Partial<Limits>;
  /** Where the first import listens. */
  readonly address?: BindAddress;
  readonly mutualTls?: SvidSource;
  /** Of both gateways. */
  readonly clock?: Clock;
  /** Changes of the importer's snapshot, such as its bundles. */
  readonly us?: Partial<ReturnType<typeof usSnapshot>>;
  /** What the exporter shows backends, and changes of its snapshot. */
  readonly exporterSvid?: SvidSource;
  readonly eu?: Partial<ReturnType<typeof euSnapshot>>;
  /** Links tried before the real one. */
  readonly before?: readonly ClientConnection[];
}

/** See {@link startTunnels}. */
export interface TunnelRig extends AsyncDisposable {
  /** A port by the name of the service. */
  port(name: string): number;
  readonly listeners: ReadonlyMap<string, CallListener>;
  readonly records: readonly TunnelRecord[];
  /** Waits for the record of a direction with this place among those of its kind. */
  record(direction: TunnelRecord['direction'], index?: number): Promise<TunnelRecord>;
  readonly link: ConnectedHttp2;
  /** Cuts the link as a network would. */
  cutLink(): void;
  readonly live: { readonly us: LiveCalls; readonly eu: LiveCalls };
  readonly snapshots: { readonly us: ReplaceableSnapshot; readonly eu: ReplaceableSnapshot };
}

/** Starts both gateways, and waits for the link. */
export async function startTunnels(
  services: readonly TunnelService[],
  options: TunnelRigOptions = {},
): Promise<TunnelRig> {
  const { clock = systemClock } = options;
  const records: TunnelRecord[] = [];
  const waiting = new Set<() => void>();
  const sink = {
    record: (call: EndedCall): void => {
      const { protocol, method, status, verdict, reason, bytesIn, bytesOut, host } = call;
      records.push({ ...call.subject.facts, protocol, method, status, verdict, reason, bytesIn, bytesOut, host });
      for (const wake of waiting) wake();
    },
  };
  const deadlines = new Deadlines(clock);
  const live = { us: new LiveCalls(), eu: new LiveCalls() };
  const snapshots = snapshotsOf(services, options);
  const hostOf = (list: LiveCalls): CallHost => {
    const budgets = createCallBudgets({ snapshots: snapshots.us, live: list, log: silentLog });
    return { clock, deadlines, live: list, budgets, sink };
  };
  const buffers = new BufferPool();
  const tls = backendTls(clock, options.exporterSvid, snapshots.eu);
  const pools = createServicePools({ limits: DEFAULT_LIMITS, tls, clock, buffers });
  const tunnels = new TunnelCalls(hostOf(live.eu), snapshots.eu, tls);
  const inbound = { views: new Views(snapshots.eu), services: pools, host: hostOf(live.eu), tunnels };
  const identity = branded<object, 'VerifiedIdentity'>({
    kind: 'verified',
    id: gatewayIdOf(US),
    trustDomain: US,
  }) as unknown as VerifiedIdentity;
  const accepted = new Set<Socket>();
  const jump = createServer({ noDelay: true }, (socket) => {
    accepted.add(socket);
    const listener = new InboundCalls(inbound, { peer: peerOf('us', US), identity });
    serveHttp2(socket, { clock, pool: buffers, scheme: 'https', limits: LINK_CONNECTION, listener });
  });
  const wire = connect({ port: await listen(jump), host: '127.0.0.1', noDelay: true });
  const link = connectHttp2(wire, { clock, pool: buffers, limits: LINK_CONNECTION });
  await link.ready;
  const candidates = [...(options.before ?? []), link];
  const links = {
    pick: (peer: string, tried: readonly ClientConnection[]): ClientConnection | undefined =>
      peer === 'eu' ? candidates.find((each) => each.usable && !tried.includes(each)) : undefined,
  };
  const listeners = new Map<string, CallListener>();
  const views = new Views(snapshots.us);
  for (const { name } of services) {
    const first = listeners.size === 0;
    const address = (first ? options.address : undefined) ?? { kind: 'tcp', host: '127.0.0.1', port: 0 };
    const isMutual = first && options.mutualTls !== undefined;
    const caller = isMutual ? ({ kind: 'mutual-tls' } as const) : ({ kind: 'as', id: WEB } as const);
    const svid = options.mutualTls ?? NO_SVID;
    const made = { views, links, host: hostOf(live.us), snapshots: snapshots.us, svid, log: silentLog };
    listeners.set(name, await openTunnelListener({ imported: name, spec: { address, caller }, ...made }));
  }
  return {
    port: (name) => {
      const bound = listeners.get(name)?.address;
      return bound?.kind === 'tcp' ? bound.port : 0;
    },
    listeners,
    records,
    record: async (direction, index = 0) => {
      for (;;) {
        const found = records.filter((each) => each.direction === direction)[index];
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
      }
    },
    link,
    cutLink: () => {
      wire.resetAndDestroy();
    },
    live,
    snapshots,
    [Symbol.asyncDispose]: async () => {
      for (const listener of listeners.values()) await listener[Symbol.asyncDispose]();
      link.destroy();
      pools[Symbol.dispose]();
      tunnels[Symbol.dispose]();
      deadlines[Symbol.dispose]();
      for (const socket of accepted) socket.destroy();
      await new Promise((resolve) => jump.close(resolve));
    },
  };
}

function snapshotsOf(services: readonly TunnelService[], options: TunnelRigOptions): TunnelRig['snapshots'] {
  const protocolOf = ({ serverNames }: TunnelService): 'tcp' | 'tls' => (serverNames === undefined ? 'tcp' : 'tls');
  const plain = services.map((each) => ({ name: each.name, protocol: protocolOf(each), port: each.ports[0] ?? 0 }));
  const eu = euSnapshot(plain);
  const us = usSnapshot(plain);
  const exports = new Map(eu.exports);
  const imports = new Map(us.imports);
  for (const each of services) {
    const { name, ports, serverNames = [], peers = ['us'] } = each;
    const exported = eu.exports.get(name);
    const imported = us.imports.get(name);
    if (exported === undefined || imported === undefined) continue;
    const backends: readonly HostPort[] = ports.map((port) => ({ host: '127.0.0.1', port }));
    const allow = [{ peers, origin: exported.origin }];
    exports.set(name, { ...exported, backends, serverNames, allow, ...each.exported });
    imports.set(name, { ...imported, protocol: protocolOf(each), serverNames, ...each.imported });
  }
  const limits = { ...us.limits, ...options.limits };
  return {
    us: new ReplaceableSnapshot({ ...us, imports, limits, ...options.us }),
    eu: new ReplaceableSnapshot({ ...eu, exports, limits, ...options.eu }),
  };
}

/** A TCP service; its connections may be half-closed. Disposal destroys what is open. */
export async function tcpService(
  serve: (socket: Socket) => void,
): Promise<
  { readonly port: number; readonly server: Server; readonly sockets: ReadonlySet<Socket> } & AsyncDisposable
> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    serve(socket);
  });
  const port = await listen(server);
  return {
    port,
    server,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A port on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}
