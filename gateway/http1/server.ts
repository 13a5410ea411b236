/** HTTP/1.1 on accepted connections: each request becomes an IncomingCall. Interim, over node:http, until our own engine. */
import http from 'node:http';
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import {
  type EarlyRefusal,
  type HeaderField,
  hasField,
  type IncomingCall,
  type ResponseSink,
} from '../forward/exchange.ts';
import { readFields } from './fields.ts';
import { cut, type Exchange, type Http1Connection, ServedSocket } from './served-socket.ts';

/** Bytes of request line and headers that node lets through: above our own 8 + 16 KiB, so that most refusals are ours. */
const HEAD_BYTES_MAX = 32 * 1024;

/** How long an idle connection is kept (security.md §3). */
const KEEP_ALIVE_TIMEOUT_MS = 300_000;

/** How often node looks for requests whose headers are late; the looks are cheap, and late ones must not live much longer. */
const LATE_HEADERS_CHECK_MS = 250;

/** What a server works with. */
export interface Http1ServerOptions {
  readonly clock: Clock;
  /** Time for a request's headers to be complete, from the connection's start or the request's first byte. Real time. */
  readonly headersTimeoutMs: number;
}

/** Serves HTTP/1.1 on connections handed to it. */
export interface Http1Server extends Disposable {
  serve(socket: Duplex, connection: Http1Connection): void;
  /** From now on every response closes its connection, and idle connections are closed. */
  finish(): void;
}

/** Makes a server without a listening socket of its own. */
export function createHttp1Server(options: Http1ServerOptions): Http1Server {
  const connections = new WeakMap<object, ServedSocket>();
  const state = { finishing: false };
  const server = http.createServer(serverOptions(options.headersTimeoutMs));
  // Unlimited here because node drops what is over the limit in silence (CVE-2026-58044); forwarding refuses the count.
  server.maxHeadersCount = 0;
  const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const served = connections.get(request.socket);
    if (served === undefined) {
      request.socket.destroy();
      return;
    }
    response.sendDate = false;
    const exchange = { request, response, gone: new AbortController() };
    served.began(exchange);
    served.connection.onCall(incomingCall(exchange, served.connection, state));
  };
  server.on('request', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('clientError', (error: Error, socket) => {
    socket.on('error', () => undefined);
    const refusal = refusalOf(codeOf(error) ?? '');
    const served = connections.get(socket);
    if (refusal === undefined || served === undefined) socket.destroy();
    else served.refuse(refusal);
  });
  server.on('connect', (request, socket) => {
    const { url: path = '', headers } = request;
    const refusal = { protocol: 'http1', reason: 'method-unsupported', method: 'CONNECT', path } as const;
    connections.get(socket)?.refuse({ ...refusal, host: headers.host ?? '' });
  });
  // Node starts its check for late headers at this event; the server has no listening socket to cause it.
  server.emit('listening');
  return {
    serve: (socket, connection) => {
      connections.set(socket, new ServedSocket(socket, connection, options.clock));
      server.emit('connection', socket);
    },
    finish: () => {
      state.finishing = true;
      server.closeIdleConnections();
    },
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close(() => undefined);
    },
  };
}

function serverOptions(headersTimeoutMs: number): http.ServerOptions {
  // Late ones are found at the next look, which is to be within the limit.
  const checkMs = Math.min(LATE_HEADERS_CHECK_MS, headersTimeoutMs / 4);
  return {
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: headersTimeoutMs - checkMs,
    // Bodies may take any time: a total deadline would cut long uploads.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: checkMs,
    // Refused by us, so that the refusal is counted.
    requireHostHeader: false,
    insecureHTTPParser: false,
  };
}

/** What is wrong with a request that node's parser gave up, of which nothing can be believed; `undefined` when the connection broke. */
function refusalOf(code: string): EarlyRefusal | undefined {
  const unread = { protocol: 'http1', method: '', path: '', host: '' } as const;
  if (code === 'HPE_HEADER_OVERFLOW') return { ...unread, reason: 'limit-header-bytes' };
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return { ...unread, reason: 'headers-timeout' };
  return code.startsWith('HPE_') ? { ...unread, reason: 'request-malformed' } : undefined;
}

/** While the server finishes, every response closes its connection. */
interface ServerState {
  readonly finishing: boolean;
}

function incomingCall(exchange: Exchange, connection: Http1Connection, state: ServerState): IncomingCall {
  const { request, response, gone } = exchange;
  const headers = readFields(request.rawHeaders);
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const length = headers.find(([name]) => name === 'content-length')?.[1];
  return {
    protocol: 'http1',
    method: request.method ?? '',
    path: request.url ?? '',
    authority: headers.find(([name]) => name === 'host')?.[1] ?? '',
    scheme: connection.scheme,
    headers,
    neverIndexed: [],
    hasBody: hasField(headers, 'transfer-encoding') || (length !== undefined && Number(length) !== 0),
    body: request,
    remoteAddress: connection.remoteAddress,
    trailers: () => readFields(request.rawTrailers),
    whole: () => request.complete,
    respond: (status, fields, end) => {
      // An answer before the request has ended closes the connection: what is left of the body must not become a request.
      if (!request.complete || state.finishing) response.shouldKeepAlive = false;
      return respond(response, status, fields, end ?? false);
    },
    abort: (code) => {
      // `done`: an answer to an unfinished request already closes its connection.
      if (code !== 'done') cut(request.socket);
    },
    closed: gone.signal,
  };
}

function respond(
  response: http.ServerResponse,
  status: number,
  fields: readonly HeaderField[],
  end: boolean,
): ResponseSink {
  if (!response.headersSent && !response.destroyed) {
    response.writeHead(status, fields.flat());
    if (end) response.end();
    else response.flushHeaders();
  }
  return {
    body: response,
    setTrailers: (trailers) => {
      // Node refuses to end a chunked body with trailers it cannot write; without chunks they are dropped by it.
      if (trailers.length > 0 && !response.writableEnded) {
        response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
      }
    },
  };
}
