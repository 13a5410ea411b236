/** The server of our bundle (SPIFFE Federation §5.2): one document on one path. */
import { createHash } from 'node:crypto';
import { type Server } from 'node:https';

import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';

import { type Clock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { writeBundleDocument } from '../bundle/document.ts';
import { ownSockets, type TlsListener } from '../tls/accept.ts';
import { type BindServer, bindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { serverTlsContext, type TlsCredentials } from '../tls/context.ts';
import { tlsReason } from '../tls/failure.ts';
import { RefusalLog } from '../tls/refusal-log.ts';
import { type ServerCredentials } from '../tls/server-credentials.ts';

/** What to serve, and where. */
export interface BundleEndpointServerOptions {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  /** Our SVID (profile https_spiffe) or a certificate of the host (https_web); new handshakes follow its renewal. */
  readonly credentials: ServerCredentials;
  /** The newest bundle, asked for at every request: nothing stale after a rotation. 503 while it is not known: an empty one would revoke all. */
  readonly bundle: () => Bundle | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits?: Partial<BundleEndpointLimits>;
}

/** What strangers may cost. */
export interface BundleEndpointLimits {
  /** Default 10 s. */
  readonly handshakeTimeoutMs: number;
  /** For a whole request, headers included: there is no body to wait for. Default 10 s. */
  readonly requestTimeoutMs: number;
  /** A peer's replicas poll every few minutes; 1,000 at once is a storm. Default 1,000. */
  readonly connectionsMax: number;
}

const DEFAULT_LIMITS: BundleEndpointLimits = {
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  connectionsMax: 1_000,
};
const HEADER_BYTES_MAX = 8 * 1024;
/** How often Node looks for requests that are too slow. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;
/** Clients poll every 30 s at most often: keeping the connection longer than this only holds memory. */
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;
const REQUESTS_PER_SOCKET_MAX = 100;

/**
 * Serves the bundle on `/` to GET and HEAD, without asking for any credential of the client: TLS 1.2 and 1.3, ETag,
 * `cache-control: no-cache`; 404 elsewhere, 405 otherwise. Throws `address-in-use` and `listen-failed`.
 */
export async function serveBundle(options: BundleEndpointServerOptions): Promise<TlsListener> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const application = fastify({
    https: {
      ...contextOf(options.credentials.current()),
      ALPNProtocols: ['http/1.1'],
      requestCert: false,
      handshakeTimeout: limits.handshakeTimeoutMs,
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: limits.requestTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    connectionTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: limits.requestTimeoutMs,
    maxRequestsPerSocket: REQUESTS_PER_SOCKET_MAX,
    forceCloseConnections: true,
    trustProxy: false,
    logger: false,
  });
  addRoute(application, options.bundle);
  await application.ready();
  const server = application.server;
  server.maxConnections = limits.connectionsMax;
  const owned = ownSockets(server);
  const refusals = new RefusalLog(options.log, options.clock);
  server.on('tlsClientError', (error, socket) => {
    refusals.refused({ remoteAddress: socket.remoteAddress, code: codeOf(error) ?? 'tls', reason: tlsReason(error) });
    socket.destroy();
  });
  const address = await (options.bind ?? bindServer)(server, options.address);
  server.on('error', (error) => options.log.error('bundle listener failed', { error }));
  const watch = followRotation(server, options);
  return {
    address,
    stopAccepting: () => owned.stopAccepting(),
    [Symbol.asyncDispose]: async () => {
      watch[Symbol.dispose]();
      await owned[Symbol.asyncDispose]();
      await application.close();
    },
  };
}

interface Routes {
  addHook(name: 'onRequest', hook: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>): unknown;
}

/** Everything is decided before a body would be read, so that no method and no content type has a way of its own. */
function addRoute(application: Routes, bundle: BundleEndpointServerOptions['bundle']): void {
  const render = documentRenderer();
  application.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?', 1)[0];
    if (path !== '/') return reply.code(404).header('connection', 'close').send();
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return reply.code(405).headers({ allow: 'GET, HEAD', connection: 'close' }).send();
    }
    const newest = bundle();
    if (newest === undefined) return reply.code(503).header('connection', 'close').send();
    const { body, etag } = render(newest);
    void reply.headers({ etag, 'cache-control': 'no-cache' });
    if (request.headers['if-none-match']?.split(/,\s*/).includes(etag) === true) return reply.code(304).send();
    void reply.header('content-type', 'application/json');
    if (request.method === 'HEAD') return reply.header('content-length', String(body.length)).send();
    return reply.send(body);
  });
}

/** Bundles are immutable values: one that was rendered is not rendered again. */
function documentRenderer(): (bundle: Bundle) => { readonly body: Buffer; readonly etag: string } {
  const rendered = new WeakMap<Bundle, { readonly body: Buffer; readonly etag: string }>();
  return (bundle) => {
    const known = rendered.get(bundle);
    if (known !== undefined) return known;
    const body = Buffer.from(writeBundleDocument(bundle), 'utf8');
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    const document = { body, etag };
    rendered.set(bundle, document);
    return document;
  };
}

function followRotation(server: Server, options: BundleEndpointServerOptions): Disposable {
  return options.credentials.watch((credentials) => {
    try {
      server.setSecureContext(contextOf(credentials));
    } catch (error) {
      options.log.error('the new certificate of the bundle endpoint is unusable, the old one stays', { error });
    }
  });
}

function contextOf(credentials: TlsCredentials | undefined): ReturnType<typeof serverTlsContext> {
  return serverTlsContext(credentials ?? {});
}
