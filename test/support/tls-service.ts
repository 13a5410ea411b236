/** Services over TLS that ask for a client certificate, in any protocol that a backend speaks. */
import http2 from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type Socket } from 'node:net';
import { createServer as createTlsServer, type Server, type TLSSocket } from 'node:tls';

import { listen } from './forward-rig.ts';

/** PEM texts. */
export interface ServiceCredentials {
  readonly cert: string;
  readonly key: string;
}

/** A running service, and what it has seen. */
export interface TlsService extends AsyncDisposable {
  readonly port: number;
  /** URI names of the certificates that clients showed, one for each connection. */
  readonly clients: readonly string[];
  /** Names asked for by SNI, one for each connection. */
  readonly names: readonly unknown[];
  readonly sockets: ReadonlySet<TLSSocket>;
}

const ASKING = { requestCert: true, rejectUnauthorized: false } as const;

/** Answers over HTTP/1.1 with the header fields of the request. */
export function https1Service(credentials: ServiceCredentials): Promise<TlsService> {
  const server = createHttpsServer({ ...credentials, ...ASKING }, (request, response) => {
    response.end(JSON.stringify(request.headers));
  });
  return watched(server);
}

/** Answers over HTTP/2 with the header fields of the request, pseudo-header fields among them. */
export function https2Service(credentials: ServiceCredentials): Promise<TlsService> {
  const server = http2.createSecureServer({ ...credentials, ...ASKING }, (request, response) => {
    response.end(JSON.stringify(request.headers));
  });
  return watched(server);
}

/** Hands over each connection; either half may end alone. */
export function tlsStreamService(
  credentials: ServiceCredentials,
  serve: (socket: TLSSocket) => void,
): Promise<TlsService> {
  return watched(createTlsServer({ ...credentials, ...ASKING, allowHalfOpen: true }, serve));
}

async function watched(server: Server): Promise<TlsService> {
  const sockets = new Set<TLSSocket>();
  const raws = new Set<Socket>();
  server.on('connection', (raw: Socket) => {
    raws.add(raw);
    raw.once('close', () => raws.delete(raw));
  });
  const clients: string[] = [];
  const names: unknown[] = [];
  server.on('tlsClientError', () => undefined);
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    names.push('servername' in socket ? socket.servername : undefined);
    clients.push(socket.getPeerX509Certificate()?.subjectAltName?.replace('URI:', '') ?? '');
  });
  const port = await listen(server);
  return {
    port,
    clients,
    names,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const raw of raws) raw.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
