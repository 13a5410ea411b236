/** Two gateways' call paths joined by plain HTTP/2 connections in place of links, and services behind the second. */
import http from 'node:http';
import http2 from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';

import { branded } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { DEFAULT_LIMITS, type ListenerLimits, type Limits } from '../../federation/resources/limits.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { gatewayIdOf, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type EdgeDeps } from '../../gateway/edge/plans.ts';
import { type CallHost } from '../../gateway/forward/call-host.ts';
import { Deadlines } from '../../gateway/forward/deadlines.ts';
import { LiveCalls } from '../../gateway/forward/live-calls.ts';
import { type PeerLinks } from '../../gateway/forward/peer-destination.ts';
import { Views } from '../../gateway/forward/view.ts';
import { InboundCalls } from '../../gateway/inbound/calls.ts';
import { type CallListener } from '../../gateway/listen/call-listener.ts';
import { type ListenHost } from '../../gateway/listen/connections.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { type ClientConnection } from '../../gateway/message/stream.ts';
import { openOutboundListener } from '../../gateway/outbound/listener.ts';
import { createCallBudgets } from '../../gateway/process/call-budgets.ts';
import { createServicePools } from '../../gateway/routing/service-pool.ts';
import { type ConnectionLimits } from '../../gateway/http2/limits.ts';
import { linkHttp2 } from '../../gateway/socket/connection-limits.ts';
import { type ConnectedHttp2, connectHttp2, type Http2Socket, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { TunnelCalls } from '../../gateway/tcp/tunnel-calls.ts';
import { type CallSubjectFacts, type EndedCall } from '../../gateway/telemetry/call-subject.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { backendTls, NO_SVID } from './backend-tls.ts';
import { euSnapshot, peerOf, type RigService, US, usSnapshot } from './forward-snapshots.ts';

export const WEB = parseSpiffeId('spiffe://us.test/ns/shop/sa/web');

/** A call as it was recorded: an `EndedCall` is valid only then. */
export type CallRecord = CallSubjectFacts &
  Pick<EndedCall, 'protocol' | 'status' | 'grpcStatus' | 'verdict' | 'reason' | 'bytesIn' | 'bytesOut' | 'host'>;

/** The connection that stands for a link. */
export interface RigLink {
  readonly client: ConnectedHttp2;
  readonly server: Http2Socket;
}

export interface Rig extends AsyncDisposable {
  readonly port: number;
  readonly listener: CallListener;
  /** Records of both gateways, in the order of their ends. */
  readonly records: CallRecord[];
  /** The first link, for tests that speak on it as a peer would. */
  readonly link: ConnectedHttp2;
  readonly links: readonly RigLink[];
  readonly listenHost: ListenHost;
  /** Calls under way, of both gateways. */
  readonly live: LiveCalls;
  /** For an edge of the mesh whose exports the services are, and for one of the mesh whose imports they are. */
  readonly edgeDeps: EdgeDeps;
  readonly importerDeps: EdgeDeps;
  readonly edgeSnapshots: ReplaceableSnapshot;
  record(direction: CallRecord['direction']): Promise<CallRecord>;
}

/** What a test may change about the rig. */
export interface RigOptions {
  readonly address?: BindAddress;
  /** Of the listener. */
  readonly limits?: ListenerLimits;
  /** Of both meshes. */
  readonly meshLimits?: Partial<Limits>;
  /** Links tried before the real ones. */
  readonly before?: readonly ClientConnection[];
  /** Real links; 1 if not given. */
  readonly linkCount?: number;
  /** What the exporter shows backends. */
  readonly svid?: SvidSource;
  /** Changes of the exporter's snapshot, such as its bundles. */
  readonly eu?: Partial<Snapshot>;
}

/** Records of calls, in the order of their ends. */
class Records {
  readonly all: CallRecord[] = [];
  readonly #waiting = new Set<() => void>();

  record(call: EndedCall): void {
    const { protocol, status, grpcStatus, verdict, reason, bytesIn, bytesOut, host } = call;
    this.all.push({ ...call.subject.facts, protocol, status, grpcStatus, verdict, reason, bytesIn, bytesOut, host });
    for (const wake of this.#waiting) wake();
  }

  async first(direction: CallRecord['direction']): Promise<CallRecord> {
    for (;;) {
      const found = this.all.find((each) => each.direction === direction);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }
}

/** Links of two gateways, without TLS and hello. */
async function joinLinks(
  count: number,
  limits: ConnectionLimits,
  serve: (socket: Socket) => Http2Socket,
): Promise<{ readonly links: readonly RigLink[] } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const accepted: ((server: Http2Socket) => void)[] = [];
  const jump = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    accepted.shift()?.(serve(socket));
  });
  const port = await listen(jump);
  const links: RigLink[] = [];
  for (let index = 0; index < count; index += 1) {
    const served = new Promise<Http2Socket>((resolve) => {
      accepted.push(resolve);
    });
    const client = connectHttp2(connect({ port, host: '127.0.0.1', noDelay: true }), { clock: systemClock, limits });
    await client.ready;
    links.push({ client, server: await served });
  }
  return {
    links,
    [Symbol.asyncDispose]: async () => {
      for (const { client } of links) client.destroy();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => jump.close(resolve));
    },
  };
}

/** As the pool of links: the one with the fewest calls. */
function linksOf(before: readonly ClientConnection[], links: readonly RigLink[]): PeerLinks {
  return {
    pick: (peer, tried) => {
      if (peer !== 'eu') return undefined;
      const isFree = (each: ClientConnection): boolean => each.usable && !tried.includes(each);
      const free = links.map(({ client }) => client).filter(isFree);
      return before.find(isFree) ?? free.sort((one, other) => one.streams - other.streams)[0];
    },
  };
}

export async function startRig(services: readonly RigService[], options: RigOptions = {}): Promise<Rig> {
  const records = new Records();
  const listenHost = { clock: systemClock, buffers: new BufferPool() };
  const limits = { ...DEFAULT_LIMITS, ...options.meshLimits };
  const deadlines = new Deadlines(systemClock);
  const live = new LiveCalls();
  const eu = new ReplaceableSnapshot({ ...euSnapshot(services), limits, ...options.eu });
  const tls = backendTls(systemClock, options.svid, eu);
  const pools = createServicePools({ ...listenHost, tls, limits });
  const us = new ReplaceableSnapshot({ ...usSnapshot(services), limits });
  const budgets = createCallBudgets({ snapshots: us, live, log: silentLog });
  const host: CallHost = { clock: systemClock, deadlines, live, budgets, sink: records };
  const identity = branded<object, 'VerifiedIdentity'>({
    kind: 'verified',
    id: gatewayIdOf(US),
    trustDomain: US,
  }) as unknown as VerifiedIdentity;
  const inbound = { views: new Views(eu), services: pools, host, tunnels: new TunnelCalls(host, eu, tls) };
  const joined = await joinLinks(options.linkCount ?? 1, linkHttp2(limits), (socket) => {
    const listener = new InboundCalls(inbound, { peer: peerOf('us', US), identity });
    return serveHttp2(socket, { ...listenHost, scheme: 'https', limits: linkHttp2(limits), listener });
  });
  const links = linksOf(options.before ?? [], joined.links);
  const first = joined.links[0]?.client ?? assertNever();
  const listener = await openOutboundListener({
    spec: {
      address: options.address ?? { kind: 'tcp', host: '127.0.0.1', port: 0 },
      caller: { kind: 'as', id: WEB },
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    },
    deps: { views: new Views(us), links, host },
    host: listenHost,
    snapshots: us,
    svid: NO_SVID,
    log: silentLog,
  });
  return {
    port: listener.address.kind === 'tcp' ? listener.address.port : 0,
    listener,
    records: records.all,
    link: first,
    links: joined.links,
    listenHost,
    live,
    edgeSnapshots: eu,
    edgeDeps: { views: new Views(eu), links, services: pools, host },
    importerDeps: { views: new Views(us), links, services: pools, host },
    record: (direction) => records.first(direction),
    [Symbol.asyncDispose]: async () => {
      await listener[Symbol.asyncDispose]();
      await joined[Symbol.asyncDispose]();
      pools[Symbol.dispose]();
      deadlines[Symbol.dispose]();
    },
  };
}

function assertNever(): never {
  throw new Error('is not needed, or is there');
}

export async function listen(server: Server | http.Server | http2.Http2Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** A node:http service that is gone with its connections when disposed of. */
export async function http1Service(
  listener: http.RequestListener,
  onUpgrade?: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void,
): Promise<{ port: number } & AsyncDisposable> {
  const server = http.createServer(listener);
  const upgraded = new Set<Duplex>();
  if (onUpgrade !== undefined) {
    server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
      upgraded.add(socket);
      socket.on('error', () => undefined);
      onUpgrade(request, socket, head);
    });
  }
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Node's 10 MB are fewer than stalled readers hold. */
const SESSION_MIB_MAX = 4_096;

/** A node:http2 service with prior knowledge. */
export async function http2Service(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  enableConnectProtocol = true,
): Promise<{ port: number; sessionCount: () => number } & AsyncDisposable> {
  const server = http2.createServer({ settings: { enableConnectProtocol }, maxSessionMemory: SESSION_MIB_MAX });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    onStream(stream, headers);
  });
  const port = await listen(server);
  return {
    port,
    sessionCount: () => sessions.size,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What came back over HTTP/1.1. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}

/** One HTTP/1.1 call on a connection of its own. */
export function get(
  port: number,
  options: http.RequestOptions & { body?: string; trailers?: Record<string, string> },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          trailers: response.trailers,
          body: Buffer.concat(chunks).toString(),
        });
      });
    });
    request.on('error', reject);
    if (options.trailers !== undefined) request.addTrailers(options.trailers);
    request.end(options.body);
  });
}
