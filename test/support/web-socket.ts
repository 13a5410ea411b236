/** Callers and services of WebSocket over HTTP/1.1 and HTTP/2, made of node:http and node:http2; what they say is not framed. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { type Duplex } from 'node:stream';

import { http1Service, http2Service } from './forward-rig.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What a service was asked. */
export interface Opening {
  readonly path: string;
  readonly caller: string;
  readonly subprotocol: string;
  readonly version: string;
}

/** A tunnel as its caller has it. */
export interface OpenedSocket extends Disposable {
  readonly status: number;
  readonly subprotocol: string;
  readonly reason: string;
  /** Half-open: it ends by halves. */
  readonly duplex: Duplex;
}

/** What a service does with a tunnel that it has accepted. */
export type OnTunnel = (duplex: Duplex) => void;

/** Accepts every WebSocket, but those of `/no` (403), of `/deaf` (200, as a server that knows no WebSocket) and of `/drop`. */
export async function webSocketService(
  protocol: 'http1' | 'http2',
  onTunnel: OnTunnel,
): Promise<{ readonly port: number; readonly openings: Opening[] } & AsyncDisposable> {
  const openings: Opening[] = [];
  const service = protocol === 'http1' ? await overHttp1(openings, onTunnel) : await overHttp2(openings, onTunnel);
  return { openings, ...service };
}

function openingOf(path: string, headers: http.IncomingHttpHeaders): Opening {
  return {
    path,
    caller: String(headers['x-forwarded-client-cert']),
    subprotocol: String(headers['sec-websocket-protocol']),
    version: String(headers['sec-websocket-version']),
  };
}

function overHttp1(openings: Opening[], onTunnel: OnTunnel): ReturnType<typeof http1Service> {
  return http1Service(
    (_request, response) => response.end('no upgrade'),
    (request, socket) => {
      const path = request.url ?? '';
      openings.push(openingOf(path, request.headers));
      if (path === '/no') socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope');
      else if (path === '/deaf') socket.end('HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhat');
      else if (path === '/drop') socket.destroy();
      else {
        const key = request.headers['sec-websocket-key'] ?? '';
        const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
        const lines = [
          'HTTP/1.1 101 Switching Protocols',
          'upgrade: websocket',
          'connection: upgrade',
          `sec-websocket-accept: ${accept}`,
          `sec-websocket-protocol: ${openings.at(-1)?.subprotocol ?? ''}`,
        ];
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
        onTunnel(socket);
      }
    },
  );
}

function overHttp2(openings: Opening[], onTunnel: OnTunnel): ReturnType<typeof http2Service> {
  return http2Service((stream, headers) => {
    const path = String(headers[':path']);
    if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket') {
      stream.respond({ ':status': 200 });
      stream.end('no tunnel');
      return;
    }
    openings.push(openingOf(path, headers));
    if (path === '/no') {
      stream.respond({ ':status': 403 });
      stream.end('nope');
    } else if (path === '/drop') {
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    } else {
      stream.respond({ ':status': 200, 'sec-websocket-protocol': String(headers['sec-websocket-protocol']) });
      onTunnel(stream);
    }
  });
}

/** Opens a WebSocket as a caller of `protocol`. */
export function openWebSocket(
  protocol: 'http1' | 'http2',
  port: number,
  { host, path = '/' }: { readonly host: string; readonly path?: string },
): Promise<OpenedSocket> {
  return protocol === 'http1' ? openHttp1(port, host, path) : openHttp2(port, host, path);
}

async function openHttp1(port: number, host: string, path: string): Promise<OpenedSocket> {
  const key = randomBytes(16).toString('base64');
  const headers = {
    host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': key,
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'chat',
  };
  const request = http.request({ host: '127.0.0.1', port, agent: false, headers, path });
  request.end();
  const { response, duplex, head } = await new Promise<{
    response: http.IncomingMessage;
    duplex: Duplex;
    head: Buffer;
  }>((resolve, reject) => {
    request.on('error', reject);
    request.on('upgrade', (response: http.IncomingMessage, duplex: Duplex, head: Buffer) => {
      resolve({ response, duplex, head });
    });
    request.on('response', (response) => resolve({ response, duplex: response, head: Buffer.alloc(0) } as never));
  });
  const status = response.statusCode ?? 0;
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  if (status === 101 && response.headers['sec-websocket-accept'] !== accept)
    throw new Error('the key was not answered');
  if (head.length > 0) duplex.unshift(head);
  duplex.on('error', () => undefined);
  return opened(status === 101 ? 200 : status, response.headers, duplex, () => {
    duplex.destroy();
    request.destroy();
  });
}

async function openHttp2(port: number, host: string, path: string): Promise<OpenedSocket> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': path,
      ':authority': host,
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
    },
    { endStream: false },
  );
  stream.on('error', () => undefined);
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return opened(Number(headers[':status']), headers, stream, () => session.destroy());
}

function opened(status: number, headers: http.IncomingHttpHeaders, duplex: Duplex, dispose: () => void): OpenedSocket {
  return {
    status,
    subprotocol: headers['sec-websocket-protocol'] ?? '',
    reason: String(headers['jumpgate-reason'] ?? ''),
    duplex,
    [Symbol.dispose]: dispose,
  };
}
