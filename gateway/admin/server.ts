/** The admin API: JSON over HTTP on a 0600 Unix socket, or on TCP behind a bearer token. */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';

import { codeOf, JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { type BindServer, bindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { type AccessRule, allowedHosts, readTokenDigest, refuseAccess } from './access.ts';
import { bundleRoutes } from './bundles.ts';
import { configRoutes } from './config.ts';
import { explainRoutes } from './explain.ts';
import { exportRoutes } from './exports.ts';
import { failure, type Failure, failureOf } from './failure.ts';
import { identityRoutes } from './identity.ts';
import { importRoutes } from './imports.ts';
import { inviteRoutes } from './invites.ts';
import { jwtRoutes } from './jwt.ts';
import { linkRoutes } from './links.ts';
import { type GatewayOperations } from './operations.ts';
import { peerRoutes } from './peers.ts';
import { quarantineRoutes } from './quarantine.ts';
import { type AdminRequest, type AdminRoute, NO_PARAMS, recordOf } from './route.ts';
import { statusRoutes } from './status.ts';

/** What the server needs. */
export interface AdminServerOptions {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  /** Demanded for TCP: a 0600 file with the bearer token. */
  readonly tokenFile: string | undefined;
  readonly operations: GatewayOperations;
  readonly log: Logger;
}

/** A running admin API. */
export interface AdminServer extends AsyncDisposable {
  /** As bound. */
  readonly address: ServerAddress;
}

/** The largest request is a join token with a few roots in it. */
const BODY_BYTES_MAX = 1024 * 1024;
/** A body that trickles is cut; the same deadline as for calls' headers. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often Node looks for requests beyond their deadline (30 s by default, three times the deadline). */
const DEADLINE_CHECK_MS = 1000;
/** Operators and scripts, not traffic. */
const CONNECTIONS_MAX = 100;
const HEADER_BYTES_MAX = 16 * 1024;
const BODY_DEPTH_MAX = 16;

/** Every route, in the order of the documentation. */
export function adminRoutes(operations: GatewayOperations): readonly AdminRoute[] {
  return [
    statusRoutes,
    peerRoutes,
    exportRoutes,
    importRoutes,
    bundleRoutes,
    linkRoutes,
    inviteRoutes,
    identityRoutes,
    jwtRoutes,
    configRoutes,
    explainRoutes,
    quarantineRoutes,
  ].flatMap((routes) => routes(operations));
}

/**
 * Opens the admin API. Throws what `bindServer` and `readTokenDigest` throw, and `token-file-missing` (source config)
 * for a TCP address without one.
 */
export async function openAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const rule = accessRule(options);
  // A path that cannot be decoded fails before any hook runs: without the token it learns no more than others.
  const app = createApp((error, request, reply) => {
    if (guard(request, reply, { rule, log: options.log }) === undefined) void send(reply, failureOf(error));
  });
  app.addHook('onRequest', async (request, reply) => guard(request, reply, { rule, log: options.log }));
  app.setNotFoundHandler((request, reply) => send(reply, failure(404, 'not-found', `no route ${request.method} here`)));
  app.setErrorHandler((error, request, reply) => {
    const found = failureOf(error);
    if (found.status === 500) options.log.error('admin request failed', { error, route: request.routeOptions.url });
    if (found.status === 413) void reply.header('connection', 'close');
    return send(reply, found);
  });
  for (const route of adminRoutes(options.operations)) register(app, route, options.log);
  await app.ready();
  app.server.maxConnections = CONNECTIONS_MAX;
  const address = await (options.bind ?? bindServer)(app.server, options.address);
  return {
    address,
    [Symbol.asyncDispose]: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** Sends the refusal of a request that may not go on; `undefined` if it may. */
function guard(
  request: FastifyRequest,
  reply: FastifyReply,
  { rule, log }: { readonly rule: AccessRule; readonly log: Logger },
): FastifyReply | undefined {
  void reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  const refusal = refuseAccess(rule, {
    method: request.method,
    authorization: request.headers.authorization,
    host: request.headers.host,
    origin: request.headers.origin,
    fetchSite: single(request.headers['sec-fetch-site']),
    contentType: request.headers['content-type'],
    localAddress: request.socket.localAddress,
  });
  if (refusal === undefined) return undefined;
  log.warn('admin request refused', { code: refusal.code, method: request.method, remote: remoteOf(request) });
  // The body is not read, so the connection cannot be used again.
  void reply.header('connection', 'close');
  if (refusal.status === 401) void reply.header('www-authenticate', 'Bearer');
  return send(reply, failure(refusal.status, refusal.code, refusal.message));
}

function createApp(
  frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => void,
): FastifyInstance {
  const app = fastify({
    logger: false,
    frameworkErrors,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: 256 },
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    http: {
      connectionsCheckingInterval: DEADLINE_CHECK_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false } },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    body.length === 0 ? {} : parseJson(body, { maxBytes: BODY_BYTES_MAX, maxDepth: BODY_DEPTH_MAX }),
  );
  return app;
}

function accessRule({ address, tokenFile }: AdminServerOptions): AccessRule {
  if (address.kind === 'unix') return { kind: 'unix' };
  if (tokenFile === undefined)
    throw new JumpgateError(
      'token-file-missing',
      'an admin listener on TCP needs a tokenFile: expected a 0600 file with the bearer token',
      { source: 'config' },
    );
  return { kind: 'tcp', tokenDigest: readTokenDigest(tokenFile), hosts: allowedHosts(address.host) };
}

function register(app: FastifyInstance, route: AdminRoute, log: Logger): void {
  const schema = {
    params: route.params,
    querystring: NO_PARAMS,
    ...(route.body === undefined ? {} : { body: route.body }),
  };
  app.route({
    method: route.method,
    url: route.url,
    schema,
    // A POST without a body means one without members.
    preValidation: async (request) => {
      if (route.body !== undefined && (request.body === undefined || request.body === null)) request.body = {};
    },
    handler: async (request, reply) => {
      const parts = { params: recordOf(request.params), body: recordOf(request.body), remote: remoteOf(request) };
      const result: unknown = await audited(route, parts, log);
      return reply.type('application/json').send(JSON.stringify(result));
    },
  });
}

/** Runs a route; whoever changes something leaves a line, whether it worked or not. */
async function audited(route: AdminRoute, request: AdminRequest, log: Logger): Promise<unknown> {
  const { action } = route;
  if (action === undefined) return route.run(request);
  const facts = { action, subject: route.subject?.(request) ?? '', remote: request.remote };
  try {
    const result: unknown = await route.run(request);
    log.info('admin action', { ...facts, outcome: 'done' });
    return result;
  } catch (error) {
    log.info('admin action', { ...facts, outcome: 'failed', code: codeOf(error) ?? 'internal' });
    throw error;
  }
}

function send(reply: FastifyReply, { status, body }: Failure): FastifyReply {
  return reply.code(status).type('application/json').send(JSON.stringify(body));
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.join(',');
}

/** Peer address; a Unix socket has none. */
function remoteOf(request: FastifyRequest): string {
  return request.socket.remoteAddress ?? 'unix';
}
