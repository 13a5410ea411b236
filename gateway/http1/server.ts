/** HTTP/1.1 on accepted connections: each request becomes an IncomingCall. Interim, over node:http, until our own engine. */
import http from 'node:http';
import { Socket } from 'node:net';
import { type Duplex } from 'node:stream';

import { codeOf } from '../../base/errors.ts';
import { type HeaderField, hasField, type IncomingCall, type ResponseSink } from '../forward/exchange.ts';
import { readFields } from './fields.ts';

/** Bytes of request line and headers that node lets through: above our own 8 + 16 KiB, so that most refusals are ours. */
const HEAD_BYTES_MAX = 32 * 1024;

/** Time for a request's headers to be complete (security.md §3). */
const HEADERS_TIMEOUT_MS = 10_000;

/** How long an idle connection is kept (security.md §3). */
const KEEP_ALIVE_TIMEOUT_MS = 300_000;

/** How often node looks for requests whose headers are late. */
const LATE_HEADERS_CHECK_MS = 2_000;

/** What each connection is served with. */
export interface Http1Connection {
  readonly scheme: 'http' | 'https';
  readonly remoteAddress: string;
  readonly onCall: (call: IncomingCall) => void;
}

/** Serves HTTP/1.1 on connections handed to it. */
export interface Http1Server extends Disposable {
  serve(socket: Duplex, connection: Http1Connection): void;
  /** From now on every response closes its connection, and idle connections are closed. */
  finish(): void;
}

/** Makes a server without a listening socket of its own. */
export function createHttp1Server(): Http1Server {
  const connections = new WeakMap<object, Http1Connection>();
  const state = { finishing: false };
  const server = http.createServer({
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // Bodies may take any time: a total deadline would cut long uploads.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: LATE_HEADERS_CHECK_MS,
    // Refused by us, so that the refusal is counted.
    requireHostHeader: false,
    insecureHTTPParser: false,
  });
  // Unlimited here because node drops what is over the limit in silence (CVE-2026-58044); forwarding refuses the count.
  server.maxHeadersCount = 0;
  const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const connection = connections.get(request.socket);
    if (connection === undefined) {
      request.socket.destroy();
      return;
    }
    response.sendDate = false;
    connection.onCall(incomingCall({ request, response, state }, connection));
  };
  server.on('request', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('clientError', (error: Error, socket) => {
    answerBrokenRequest(codeOf(error), socket);
  });
  server.on('connect', (_request, socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });
  // Node starts its check for late headers at this event; the server has no listening socket to cause it.
  server.emit('listening');
  return {
    serve: (socket, connection) => {
      connections.set(socket, connection);
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

/** The parser gave up: a bare status, since nothing of the request can be believed. */
function answerBrokenRequest(code: string | undefined, socket: Duplex): void {
  socket.on('error', () => undefined);
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  let status = '400 Bad Request';
  if (code === 'HPE_HEADER_OVERFLOW') status = '431 Request Header Fields Too Large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') status = '408 Request Timeout';
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
}

function incomingCall(exchange: Exchange, connection: Http1Connection): IncomingCall {
  const { request, response } = exchange;
  const headers = readFields(request.rawHeaders);
  const gone = new AbortController();
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
    respond: (status, fields, end) => respond(exchange, status, fields, end ?? false),
    abort: (code) => {
      // `done`: an answer to an unfinished request already closes its connection.
      if (code !== 'done') cut(request.socket);
    },
    closed: gone.signal,
  };
}

interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  /** Of the server: while it finishes, every response closes its connection. */
  readonly state: { readonly finishing: boolean };
}

function respond(exchange: Exchange, status: number, fields: readonly HeaderField[], end: boolean): ResponseSink {
  const { request, response, state } = exchange;
  if (!response.headersSent && !response.destroyed) {
    // An answer before the request has ended closes the connection: what is left of the body must not become a request.
    if (!request.complete || state.finishing) response.shouldKeepAlive = false;
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

/** A reset rather than a FIN: a response that is delimited by the connection's end must not look complete. */
function cut(socket: Duplex): void {
  if (socket instanceof Socket) socket.resetAndDestroy();
  else socket.destroy();
}
