/** Two gateways' call paths joined by a plain HTTP/2 connection in place of a link, and services behind the second. */
import http from 'node:http';
import http2 from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

import { branded } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type ExportProtocol } from '../../federation/policy/protocol.ts';
import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import {
  type Snapshot,
  type SnapshotExport,
  type SnapshotImport,
  type SnapshotPeer,
} from '../../federation/snapshot/snapshot.ts';
import { gatewayIdOf, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type EdgeDeps } from '../../gateway/edge/call.ts';
import { http2Client, type Http2Connection } from '../../gateway/http2/client.ts';
import { LINK_LIMITS, serveHttp2 } from '../../gateway/http2/server.ts';
import { inboundCall } from '../../gateway/inbound/call.ts';
import { type Upstream } from '../../gateway/forward/exchange.ts';
import { type CallListener, type ListenLimits } from '../../gateway/listen/connections.ts';
import { openOutboundListener } from '../../gateway/outbound/listener.ts';
import { createServicePools } from '../../gateway/routing/service-pool.ts';
import { type CallRecord } from '../../gateway/telemetry/call-record.ts';

export const US = parseTrustDomain('us.test');
export const EU = parseTrustDomain('eu.test');
export const WEB = parseSpiffeId('spiffe://us.test/ns/shop/sa/web');
const ORIGIN = { file: 'rig.yaml', line: 1, column: 1 };

/** A service by the name of its export. */
export interface RigService {
  readonly name: string;
  readonly protocol: ExportProtocol;
  readonly port: number;
  /** Peers that may call it; by default `us`. */
  readonly peers?: readonly string[];
}

export interface Rig extends AsyncDisposable {
  readonly port: number;
  readonly listener: CallListener;
  /** Records of both gateways, in the order of their ends. */
  readonly records: CallRecord[];
  /** The connection that stands for the link, for tests that speak on it as a peer would. */
  readonly link: Http2Connection;
  readonly edgeDeps: EdgeDeps;
  /** Of the mesh whose imports these services are. */
  readonly importerDeps: EdgeDeps;
  record(direction: CallRecord['direction']): Promise<CallRecord>;
}

/** What a test may change about the rig. */
export interface RigOptions {
  readonly address?: BindAddress;
  readonly limits?: Partial<ListenLimits>;
  /** Links tried before the real one. */
  readonly before?: readonly Upstream[];
}

export async function startRig(services: readonly RigService[], options: RigOptions = {}): Promise<Rig> {
  const records: CallRecord[] = [];
  const waiting = new Set<() => void>();
  const sink = {
    record: (record: CallRecord): void => {
      records.push(record);
      for (const wake of waiting) wake();
    },
  };
  const pools = createServicePools(systemClock);
  const eu = source(euSnapshot(services));
  const identity = branded<object, 'VerifiedIdentity'>({
    kind: 'verified',
    id: gatewayIdOf(US),
    trustDomain: US,
  }) as unknown as VerifiedIdentity;
  const sockets = new Set<Socket>();
  const jump = createServer((socket) => {
    sockets.add(socket);
    serveHttp2(socket, {
      scheme: 'https',
      remoteAddress: '',
      limits: LINK_LIMITS,
      onCall: (call) => {
        void inboundCall(
          call,
          { peer: peerOf('us', US), identity },
          { snapshots: eu, services: pools, clock: systemClock, sink },
        );
      },
    });
  });
  const link = http2Client(connect(await listen(jump), '127.0.0.1'), LINK_LIMITS);
  await link.ready;
  const us = source(usSnapshot(services));
  const before = [...(options.before ?? [])];
  const links = {
    pick: (peer: string) => before.shift() ?? (peer === 'eu' && link.usable ? link : undefined),
  };
  const listener = await openOutboundListener({
    spec: {
      address: options.address ?? { kind: 'tcp', host: '127.0.0.1', port: 0 },
      caller: { kind: 'as', id: WEB },
    },
    deps: { snapshots: us, links, clock: systemClock, sink },
    svid: { current: () => assertNever(), watch: () => ({ [Symbol.dispose]: () => undefined }) },
    log: silentLog,
    limits: options.limits ?? {},
  });
  return {
    port: listener.address.kind === 'tcp' ? listener.address.port : 0,
    listener,
    records,
    link,
    edgeDeps: { snapshots: eu, links, services: pools, clock: systemClock, sink },
    importerDeps: { snapshots: us, links, services: pools, clock: systemClock, sink },
    record: async (direction) => {
      for (;;) {
        const found = records.find((each) => each.direction === direction);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
      }
    },
    [Symbol.asyncDispose]: async () => {
      await listener[Symbol.asyncDispose]();
      link.destroy();
      pools[Symbol.dispose]();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => jump.close(resolve));
    },
  };
}

function assertNever(): never {
  throw new Error('no svid is needed');
}

function source(snapshot: Snapshot): { current(): Snapshot; watch(): Disposable } {
  return { current: () => snapshot, watch: () => ({ [Symbol.dispose]: () => undefined }) };
}

function peerOf(name: string, trustDomain: typeof US): SnapshotPeer {
  return { name, trustDomain, gatewayId: gatewayIdOf(trustDomain), gateways: [] };
}

function base(mesh: string, trustDomain: typeof US): Snapshot {
  return {
    mesh,
    trustDomain,
    gatewayId: gatewayIdOf(trustDomain),
    generations: { trust: 1, policy: 1, imports: new Map() },
    limits: DEFAULT_LIMITS,
    bundles: new Map(),
    peers: new Map(),
    exports: new Map(),
    imports: new Map(),
    routes: [],
  };
}

function euSnapshot(services: readonly RigService[]): Snapshot {
  const exports = services.map((each): [string, SnapshotExport] => [
    each.name,
    {
      name: each.name,
      protocol: each.protocol,
      backends: [{ host: '127.0.0.1', port: each.port }],
      authority: undefined,
      serverNames: [],
      limits: {},
      allow: [{ peers: each.peers ?? ['us', 'self'], origin: ORIGIN }],
      origin: ORIGIN,
    },
  ]);
  const routes = services.map((each) => ({
    name: each.name,
    edge: 'front',
    hosts: [`${each.name}.example.com`],
    path: '/**',
    to: { kind: 'export' as const, name: each.name },
    origin: ORIGIN,
  }));
  return { ...base('eu', EU), peers: new Map([['us', peerOf('us', US)]]), exports: new Map(exports), routes };
}

function usSnapshot(services: readonly RigService[]): Snapshot {
  const names = [...services.map((each) => each.name), 'missing'];
  const imports = names.map((name): [string, SnapshotImport] => [
    name,
    {
      name,
      peer: 'eu',
      peerTrustDomain: EU,
      export: name,
      hosts: [`${name}.eu.mesh.internal`],
      protocol: undefined,
      serverNames: [],
      listen: undefined,
      who: ['spiffe://us.test/**'],
      state: 'active',
      origin: ORIGIN,
    },
  ]);
  const denied: SnapshotImport = { ...imports[0]![1], name: 'denied', hosts: ['denied.eu.mesh.internal'], who: [] };
  const down: SnapshotImport = { ...imports[0]![1], name: 'down', peer: 'gone', hosts: ['down.gone.mesh.internal'] };
  return {
    ...base('us', US),
    peers: new Map([
      ['eu', peerOf('eu', EU)],
      ['gone', peerOf('gone', EU)],
    ]),
    imports: new Map([...imports, ['denied', denied], ['down', down]]),
  };
}

export async function listen(server: Server | http.Server | http2.Http2Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** A node:http service that is gone with its connections when disposed of. */
export async function http1Service(listener: http.RequestListener): Promise<{ port: number } & AsyncDisposable> {
  const server = http.createServer(listener);
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A node:http2 service with prior knowledge. */
export async function http2Service(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<{ port: number } & AsyncDisposable> {
  const server = http2.createServer();
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
