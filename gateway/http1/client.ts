/** HTTP/1.1 towards one backend with kept-alive connections. Interim, over node:http, until our own engine. */
import http from 'node:http';
import { type Socket } from 'node:net';

import { codeOf, JumpgateError } from '../../base/errors.ts';
import {
  type HeaderField,
  hasField,
  type IncomingResponse,
  type OutgoingCall,
  type RequestHead,
  type Upstream,
} from '../forward/exchange.ts';
import { joinCookies, readFields } from './fields.ts';

/** Closed before the service would (Node's services close after 5 s): the keep-alive race is behind many a 502. */
const IDLE_TIMEOUT_MS = 4_000;

/** Idle connections kept per backend. */
const IDLE_CONNECTIONS_MAX = 64;

/** Response headers that node lets through. */
const HEAD_BYTES_MAX = 32 * 1024;

/** Methods for which node itself frames no body; an empty body of the others is said with content-length: 0. */
const BODYLESS = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'];

/** A backend spoken to in HTTP/1.1. */
export interface Http1Backend extends Disposable {
  /** An upstream for one request: on an idle connection, or on one made by `dial`, whose failure is thrown. */
  open(dial: (signal: AbortSignal) => Promise<Socket>, signal: AbortSignal): Promise<Upstream>;
}

/** Makes the pool of one backend; connects to nothing yet. */
export function createHttp1Backend(): Http1Backend {
  const agent = new DialledAgent({ keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS_MAX, timeout: IDLE_TIMEOUT_MS });
  return {
    open: async (dial, signal) => {
      const socket = agent.hasIdle() ? undefined : await dial(signal);
      return {
        request: (head, requestSignal) => {
          agent.next = socket;
          try {
            return outgoingCall(agent, head, requestSignal);
          } finally {
            // Another connection became idle while this one was dialled, and was taken instead.
            if (agent.next !== undefined) agent.next.destroy();
            agent.next = undefined;
          }
        },
      };
    },
    [Symbol.dispose]: () => {
      agent.destroy();
    },
  };
}

/** Node's agent over connections that are made before the request is: so a refused one can go to another backend. */
class DialledAgent extends http.Agent {
  next: Socket | undefined;

  hasIdle(): boolean {
    return Object.values(this.freeSockets).some((sockets) => (sockets ?? []).some((socket) => !socket.destroyed));
  }

  override createConnection(): Socket {
    const socket = this.next;
    this.next = undefined;
    if (socket === undefined) {
      throw new JumpgateError('not-sent', 'the idle connection went away', {
        source: 'local',
        retry: 'fresh-connection',
      });
    }
    return socket;
  }
}

function outgoingCall(agent: http.Agent, head: RequestHead, signal: AbortSignal): OutgoingCall {
  const request = http.request({
    agent,
    method: head.method,
    path: head.path,
    setHost: false,
    maxHeaderSize: HEAD_BYTES_MAX,
    headers: [...requestFields(head)].flat(),
  });
  request.maxHeadersCount = 0;
  const response = responseOf(request);
  const abort = (): void => {
    request.destroy();
  };
  signal.addEventListener('abort', abort, { once: true });
  request.once('close', () => {
    signal.removeEventListener('abort', abort);
  });
  if (signal.aborted) abort();
  else if (head.hasBody) request.flushHeaders();
  else request.end();
  return {
    body: request,
    setTrailers: (fields) => {
      if (fields.length > 0) request.addTrailers(fields.map(([name, value]): [string, string] => [name, value]));
    },
    response,
    abort,
  };
}

function requestFields(head: RequestHead): readonly HeaderField[] {
  // `te` is hop-by-hop here, and would need a `connection: te` beside it.
  const fields = joinCookies(head.headers).filter(([name]) => name !== 'te');
  const out: HeaderField[] = [['host', head.authority], ...fields];
  if (hasField(fields, 'content-length')) return out;
  if (head.hasBody) out.push(['transfer-encoding', 'chunked']);
  else if (!BODYLESS.includes(head.method)) out.push(['content-length', '0']);
  return out;
}

function responseOf(request: http.ClientRequest): Promise<IncomingResponse> {
  const response = new Promise<IncomingResponse>((resolve, reject) => {
    request.on('error', (cause) => {
      const stale = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(codeOf(cause) ?? '');
      const malformed = (codeOf(cause) ?? '').startsWith('HPE_');
      let code = stale ? 'stale-connection' : 'upstream-reset';
      if (malformed) code = 'upstream-malformed';
      reject(new JumpgateError(code, 'the service gave no response', { source: 'local', retry: 'later', cause }));
    });
    request.once('close', () => {
      reject(new JumpgateError('upstream-reset', 'the connection ended before a response came', { source: 'local' }));
    });
    // Nothing here asks for an upgrade, so a service that switches protocols is broken.
    request.once('upgrade', (_message, socket) => {
      socket.destroy();
    });
    request.once('response', (message) => {
      message.on('error', () => undefined);
      resolve({
        status: message.statusCode ?? 0,
        headers: readFields(message.rawHeaders),
        neverIndexed: [],
        hasBody: hasBody(request.method, message),
        body: message,
        trailers: () => readFields(message.rawTrailers),
        whole: () => message.complete,
      });
    });
  });
  response.catch(() => undefined);
  return response;
}

/** RFC 9112 §6.3. */
function hasBody(method: string, message: http.IncomingMessage): boolean {
  const status = message.statusCode ?? 0;
  if (method === 'HEAD' || status === 204 || status === 304) return false;
  return message.headers['content-length'] !== '0';
}
