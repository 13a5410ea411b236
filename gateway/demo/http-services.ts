/** Two of the demo's services, as any team might have written them: one speaks HTTP/1.1, the other HTTP/2. */
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, type Server } from 'node:net';

/** A running service on loopback. */
export interface SampleService extends AsyncDisposable {
  readonly port: number;
}

/** `orders`: answers in JSON what it was asked and who the gateway says the caller is. */
export async function startOrders(): Promise<SampleService> {
  const server = createServer((request, response) => {
    request.resume();
    const caller = request.headers['x-forwarded-client-cert'] ?? 'nobody';
    const answer = { service: 'orders', asked: `${request.method ?? ''} ${request.url ?? ''}`, caller };
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(answer)}\n`);
  });
  const port = await listening(server);
  return {
    port,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return closed(server);
    },
  };
}

/** `stock`: the same over HTTP/2 with prior knowledge. */
export async function startStock(): Promise<SampleService> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    stream.resume();
    const caller = headers['x-forwarded-client-cert'] ?? 'nobody';
    const answer = { service: 'stock', asked: `${headers[':method'] ?? ''} ${headers[':path'] ?? ''}`, caller };
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(`${JSON.stringify(answer)}\n`);
  });
  const port = await listening(server);
  return {
    port,
    [Symbol.asyncDispose]: () => {
      for (const session of sessions) session.destroy();
      return closed(server);
    },
  };
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      resolve(portOf(server.address()));
    });
  });
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}
