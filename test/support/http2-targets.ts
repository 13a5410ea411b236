/** Servers that speak HTTP/2, for the raw client to attack: node's, which proves the tests, and the gateway's engine. */
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import { type Clock, systemClock } from '../../base/clock.ts';
import { type ConnectionLimits, STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { testRoot, testSvid } from './certificates.ts';
import { BODY, TestApplication } from './http2-application.ts';
import { type Http2Target } from './raw-http2.ts';

/** The targets by name. */
export type TargetName = 'engine' | 'engine on TLS' | 'node';

/** Opens each target on a port of its own. */
export const HTTP2_TARGETS: Readonly<Record<TargetName, () => Promise<Http2Target>>> = {
  engine: () => engineTarget({}),
  'engine on TLS': () => engineTarget({ tls: true }),
  node: nodeTarget,
};

/** How the engine is to be served. */
export interface EngineOptions {
  readonly application?: TestApplication;
  readonly clock?: Clock;
  readonly limits?: ConnectionLimits;
  readonly tls?: boolean;
}

/** The engine, and what can be seen of it from inside. */
export interface EngineTarget extends Http2Target {
  /** Connections that live. */
  connections(): number;
  /** Resolves when so many connections live. */
  connectionsAre(count: number): Promise<void>;
  /** The most bytes that waited in a socket, as far as looked at. */
  queuedMost(): number;
  /** Resolves after the engine has had a few turns of the event loop. */
  turn(): Promise<void>;
  /** What was thrown out of the engine. */
  readonly errors: readonly unknown[];
}

const LOOK_MS = 2;
const TURNS = 10;
const BOUND_MS = 5_000;

/** The gateway's HTTP/2 server on a listener of its own. */
export async function engineTarget(options: EngineOptions): Promise<EngineTarget> {
  const { application = new TestApplication(), clock = systemClock, limits = STRANGER_CONNECTION } = options;
  const sockets = new Set<Socket>();
  const errors: unknown[] = [];
  let queuedMost = 0;
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    serveHttp2(socket, { listener: application, clock, limits });
  };
  const server = options.tls === true ? createTlsServer(certificate(), serve) : createServer(serve);
  const look = setInterval(() => {
    for (const { writableLength } of sockets) queuedMost = Math.max(queuedMost, writableLength);
  }, LOOK_MS);
  const onThrown = (error: unknown): void => void errors.push(error);
  process.on('uncaughtException', onThrown);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const turn = async (): Promise<void> => {
    for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return {
    port: (server.address() as AddressInfo).port,
    tls: options.tls === true,
    path: '/',
    errors,
    turn,
    connections: () => sockets.size,
    connectionsAre: async (count) => {
      const untilMs = performance.now() + BOUND_MS;
      while (sockets.size !== count && performance.now() < untilMs) await turn();
      if (sockets.size !== count) throw new Error(`expected ${count} connections, found ${sockets.size}`);
    },
    queuedMost: () => queuedMost,
    close: async () => {
      clearInterval(look);
      process.off('uncaughtException', onThrown);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A certificate that nobody checks, for TLS with h2. */
function certificate(): { readonly key: string; readonly cert: string; readonly ALPNProtocols: string[] } {
  const { chain, key } = testSvid(testRoot('h2.test'), 'spiffe://h2.test/server');
  const lines = Buffer.from(chain[0] ?? []).toString('base64');
  return {
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    ALPNProtocols: ['h2'],
  };
}

/** node:http2, answering when the request has ended. */
async function nodeTarget(): Promise<Http2Target> {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 100 } });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.resume();
    stream.on('end', () => {
      if (!stream.destroyed) stream.respond({ ':status': 200 });
      if (!stream.destroyed) stream.end(BODY);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    tls: false,
    path: '/',
    close: async () => {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
