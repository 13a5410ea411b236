/**
 * Joins cross from a worker, where their TLS ends, to control, which holds the invites: a head of one frame (length in
 * four octets, then JSON), then the bytes of the connection as they are.
 */
import { connect, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

import { asList, asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { parseJson } from '../../base/json.ts';
import { bindServer } from '../../base/net/bind-server.ts';
import { isSameToken } from '../../federation/peering/service.ts';
import { type StrangerConnection } from '../../trust-bundles/tls/connection.ts';
import { CHAIN_BYTES_MAX } from '../../trust-bundles/tls/peer-chain.ts';
import { joinOf, type JoinConnection } from './join-connection.ts';

/** The head's largest member is the chain in base64. */
const HEAD_BYTES_MAX = 2 * CHAIN_BYTES_MAX;
const LENGTH_BYTES = 4;
/** Both ends are ours; a worker that is slower hangs. */
const HEAD_MS_MAX = 5_000;
/** Strangers at once in one worker; the server of joins takes no more of all workers. */
const CONNECTIONS_MAX = 32;

/** Where control serves joins, and what it wants to see. */
export interface JoinSocket {
  readonly joinSocket: string;
  readonly token: string;
}

/** Passes strangers on to control; each worker has one. */
export class JoinRelay {
  readonly #to: JoinSocket;
  #open = 0;

  constructor(to: JoinSocket) {
    this.#to = to;
  }

  /** Takes a connection over. */
  serve(connection: StrangerConnection): void {
    const { socket } = connection;
    if (this.#open >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    this.#open += 1;
    const control = connect(this.#to.joinSocket);
    control.write(writeHead(joinOf(connection), this.#to.token));
    let halves = 2;
    const over = (): void => {
      halves -= 1;
      if (halves === 0) this.#open -= 1;
    };
    // An end that breaks off takes the other with it, which is what a stranger may know.
    pipeline(socket, control, over);
    pipeline(control, socket, over);
  }
}

/** What control's end of the relay needs. */
export interface JoinListenOptions extends JoinSocket {
  readonly onJoin: (connection: JoinConnection) => void;
  readonly clock: Clock;
}

/** Serves what workers pass on. Throws what `bindServer` throws. */
export async function listenForJoins(options: JoinListenOptions): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    hear(socket, options);
  });
  await bindServer(server, { kind: 'unix', path: options.joinSocket });
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function hear(socket: Socket, { clock, onJoin, token }: JoinListenOptions): void {
  let seen = Buffer.alloc(0);
  const timer = clock.after(HEAD_MS_MAX, () => socket.destroy());
  const onData = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    if (seen.length < LENGTH_BYTES) return;
    const end = LENGTH_BYTES + seen.readUInt32BE(0);
    if (seen.length < end && end <= HEAD_BYTES_MAX) return;
    socket.off('data', onData);
    timer[Symbol.dispose]();
    const peer = end <= HEAD_BYTES_MAX ? readHead(seen.subarray(LENGTH_BYTES, end), token) : undefined;
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    socket.pause();
    socket.unshift(seen.subarray(end));
    onJoin({ socket, peer });
    socket.resume();
  };
  socket.on('data', onData);
  socket.once('close', () => timer[Symbol.dispose]());
}

function writeHead({ peer }: JoinConnection, token: string): Buffer {
  const shown =
    peer.kind === 'chain' ? { chain: peer.chain.map((der) => Buffer.from(der).toString('base64')) } : { failure: peer };
  const json = Buffer.from(JSON.stringify({ token, ...shown }));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}

function readHead(bytes: Buffer, expected: string): JoinConnection['peer'] | undefined {
  const { token, chain, failure } = asRecord(parsed(bytes)) ?? {};
  if (typeof token !== 'string' || !isSameToken(token, expected)) return undefined;
  const listed = asList(chain);
  if (listed !== undefined) {
    const ders = listed.flatMap((der) => (typeof der === 'string' ? [new Uint8Array(Buffer.from(der, 'base64'))] : []));
    return { kind: 'chain', chain: ders };
  }
  const { code, message } = asRecord(failure) ?? {};
  return typeof code === 'string' && typeof message === 'string' ? { kind: 'rejected', code, message } : undefined;
}

function parsed(bytes: Buffer): unknown {
  try {
    return parseJson(bytes);
  } catch {
    return undefined;
  }
}
