/** The status listener: `/metrics`, `/livez` and `/readyz` over plain HTTP, for a kubelet and Prometheus. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type BindServer, bindServer, type ServerAddress } from '../../base/net/bind-server.ts';

/** What readiness says: ready when nothing is pending and nothing is being drained. */
export interface Readiness {
  readonly state: string;
  readonly pending: readonly string[];
}

/** Text of all metrics and its content type. */
export interface MetricsText {
  readonly contentType: string;
  text(): Promise<string>;
}

/** What the status listener needs. */
export interface StatusServerOptions {
  readonly address: ServerAddress;
  /** Default `bindServer`. */
  readonly bind?: BindServer | undefined;
  readonly readiness: Readiness;
  readonly metrics: MetricsText;
  readonly log: Logger;
}

/** A running status listener. Keep it open while draining, so that `/readyz` can say so. */
export interface StatusServer extends AsyncDisposable {
  /** As bound. */
  readonly address: ServerAddress;
}

/** Probes and scrapers; each takes one at a time. */
const CONNECTIONS_MAX = 100;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const DEADLINE_CHECK_MS = 1000;
const HEADER_BYTES_MAX = 8 * 1024;

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Opens the status listener. Throws what `bindServer` throws. */
export async function openStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const limits = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: DEADLINE_CHECK_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
  };
  const server = createServer(limits, (request, response) => {
    void answer(options, request).then(
      (found) => reply(request, response, found),
      (error: unknown) => {
        options.log.error('status request failed', { error: messageOf(error) });
        reply(request, response, plain(500, 'failed\n'));
      },
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  const address = await (options.bind ?? bindServer)(server, options.address);
  return {
    address,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer({ readiness, metrics }: StatusServerOptions, request: IncomingMessage): Promise<Answer> {
  if (request.method !== 'GET') return plain(405, 'expected GET\n');
  switch (request.url?.split('?', 1)[0]) {
    case '/livez':
      return plain(200, 'ok\n');
    case '/readyz':
      return ready(readiness);
    case '/metrics':
      return { status: 200, contentType: metrics.contentType, body: await metrics.text() };
    default:
      return plain(404, 'expected /metrics, /livez or /readyz\n');
  }
}

function ready({ state, pending }: Readiness): Answer {
  if (state === 'ready') return plain(200, 'ok\n');
  return plain(503, `${[state, ...pending.map((task) => `pending: ${task}`)].join('\n')}\n`);
}

function plain(status: number, body: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

function reply(request: IncomingMessage, response: ServerResponse, { status, contentType, body }: Answer): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET' } : {}),
    // A body that nobody reads would be taken for the next request.
    ...(request.method === 'GET' ? {} : { connection: 'close' }),
  });
  response.end(body);
}
