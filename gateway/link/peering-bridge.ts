/** Carries control streams between grpc-js, on Unix sockets, and links: the one place where `jumpgate-peer` is written. */
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';

import { bindServer } from '../../base/net/bind-server.ts';
import { type Logger } from '../../base/log.ts';
import { messageOf } from '../../base/errors.ts';
import { type RuntimeDirectory } from '../../federation/peering/runtime-directory.ts';
import {
  INSTANCE_FIELD,
  isSameToken,
  PEER_FIELD,
  PEERING_AUTHORITY_SUFFIX,
  SYNC_METHOD,
  TOKEN_FIELD,
} from '../../federation/peering/service.ts';
import { soleValue, type HeaderField, type IncomingCall, type Upstream } from '../forward/exchange.ts';
import { http2Client, type Http2Connection } from '../http2/client.ts';
import { serveHttp2, STRANGER_LIMITS, type Http2Limits } from '../http2/server.ts';
import { refuse } from '../refusal/refuse.ts';
import { type AcceptedLink } from './accepted-link.ts';
import { type LinkPool } from './pool.ts';

/** One stream per instance of every peer, with room for those being fenced. */
const LOCAL_LIMITS: Http2Limits = { ...STRANGER_LIMITS, streamsMax: 1_000 };

/** Control streams that one link may have open: one, and those that are being replaced. */
const STREAMS_PER_LINK_MAX = 4;

/** The only metadata that crosses: what gRPC itself needs. */
const PASSED = new Set(['content-type', 'te', 'grpc-encoding', 'grpc-accept-encoding', 'user-agent']);

/** What the bridge needs. */
export interface PeeringBridgeOptions {
  readonly runtime: RuntimeDirectory;
  readonly pool: LinkPool;
  readonly log: Logger;
}

/** A bridge that serves grpc-js's client; `serve` is its other half, for calls that come in over links. */
export interface PeeringBridge extends AsyncDisposable {
  /** Takes a call to `peering.jumpgate` to our grpc-js server, under the name that the link proved. */
  serve(call: IncomingCall, link: AcceptedLink): void;
}

/** Binds the local socket. Throws what `bindServer` throws. */
export async function openPeeringBridge(options: PeeringBridgeOptions): Promise<PeeringBridge> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serveHttp2(socket, {
      scheme: 'http',
      remoteAddress: '',
      limits: LOCAL_LIMITS,
      onCall: (call) => callOut(call, options),
    });
  });
  await bindServer(server, { kind: 'unix', path: options.runtime.clientSocket });
  const local = new LocalServer(options);
  return {
    serve: (call, link) => void local.serve(call, link),
    [Symbol.asyncDispose]: async () => {
      local.destroy();
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** grpc-js calls a peer: the authority names it, the metadata its instance, and a link takes the call. */
function callOut(call: IncomingCall, { runtime, pool, log }: PeeringBridgeOptions): void {
  const token = soleValue(call.headers, TOKEN_FIELD);
  if (!isSameToken(token, runtime.token) || !call.authority.endsWith(PEERING_AUTHORITY_SUFFIX)) {
    call.abort('refused');
    return;
  }
  const peer = call.authority.slice(0, -PEERING_AUTHORITY_SUFFIX.length);
  const link = pool.pick(peer, soleValue(call.headers, INSTANCE_FIELD));
  if (link === undefined) refuse(call, 'peer-unavailable', 'trusted');
  else relay(call, link, { authority: 'peering.jumpgate', scheme: 'https', added: [], log });
}

/** The way from links to our grpc-js server, over one connection that is made when it is needed. */
class LocalServer {
  readonly #options: PeeringBridgeOptions;
  readonly #streams = new WeakMap<AcceptedLink, number>();
  #connection: Http2Connection | undefined;

  constructor(options: PeeringBridgeOptions) {
    this.#options = options;
  }

  async serve(call: IncomingCall, link: AcceptedLink): Promise<void> {
    const open = this.#streams.get(link) ?? 0;
    if (call.path !== SYNC_METHOD.path || call.method !== 'POST') {
      refuse(call, 'no-route', 'trusted');
      return;
    }
    if (open >= STREAMS_PER_LINK_MAX) {
      call.abort('refused');
      return;
    }
    this.#streams.set(link, open + 1);
    call.body.once('close', () => this.#streams.set(link, (this.#streams.get(link) ?? 1) - 1));
    const { runtime, log } = this.#options;
    const added: readonly HeaderField[] = [
      [TOKEN_FIELD, runtime.token],
      [PEER_FIELD, link.peer.name],
      [INSTANCE_FIELD, link.instance],
    ];
    try {
      const upstream = await this.#connected();
      if (!call.closed.aborted) relay(call, upstream, { authority: 'peering.jumpgate', scheme: 'http', added, log });
    } catch (error) {
      log.error('the local peering server cannot be reached', { error: messageOf(error) });
      call.abort('internal');
    }
  }

  destroy(): void {
    this.#connection?.destroy();
  }

  async #connected(): Promise<Http2Connection> {
    if (this.#connection?.usable !== true) {
      this.#connection = http2Client(connect(this.#options.runtime.serverSocket), LOCAL_LIMITS);
    }
    const connection = this.#connection;
    await connection.ready;
    return connection;
  }
}

interface RelayTarget {
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly added: readonly HeaderField[];
  readonly log: Logger;
}

/** Copies the call to `upstream` with only the metadata that gRPC needs, and its answer back. */
function relay(call: IncomingCall, upstream: Upstream, target: RelayTarget): void {
  const passed = call.headers.filter(([name]) => PASSED.has(name));
  const { path, method, hasBody } = call;
  const { authority, scheme, added } = target;
  const head = {
    method,
    path,
    authority,
    scheme,
    headers: [...passed, ...added],
    neverIndexed: [TOKEN_FIELD],
    hasBody,
  };
  void (async (): Promise<void> => {
    try {
      const outgoing = upstream.request(head, call.closed);
      outgoing.body.on('error', () => call.abort('internal'));
      call.body.on('error', () => outgoing.abort('cancel'));
      call.body.pipe(outgoing.body);
      const response = await outgoing.response;
      const headers = response.headers.filter(([name]) => !name.startsWith('jumpgate-'));
      const sink = call.respond(response.status, headers, !response.hasBody);
      if (!response.hasBody) return;
      response.body.on('error', () => call.abort('internal'));
      response.body.once('close', () => {
        if (!response.body.readableEnded) call.abort('internal');
      });
      response.body.once('end', () => {
        // A link that died also ends; grpc-js would wait for the trailers that never come.
        if (!response.whole()) {
          call.abort('internal');
          return;
        }
        sink.setTrailers(response.trailers().filter(([name]) => !name.startsWith('jumpgate-')));
        sink.body.end();
      });
      response.body.pipe(sink.body, { end: false });
    } catch (error) {
      target.log.debug('control stream broke', { error: messageOf(error) });
      call.abort('internal');
    }
  })();
}
