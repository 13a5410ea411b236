/** Carries control streams between grpc-js, on Unix sockets, and links: the one place where `jumpgate-peer` is written. */
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';

import { bindServer } from '../../base/net/bind-server.ts';
import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import {
  INSTANCE_FIELD,
  isSameToken,
  PEER_FIELD,
  PEERING_AUTHORITY_SUFFIX,
  SYNC_METHOD,
  TOKEN_FIELD,
} from '../../federation/peering/service.ts';
import { relay } from '../forward/relay.ts';
import { readRequestFields } from '../headers/request-fields.ts';
import { type ConnectionLimits, STRANGER_CONNECTION } from '../http2/limits.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import {
  type ClientConnection,
  type RequestListener,
  type ServerStream,
  type StreamReceiver,
} from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { refuse } from '../refusal/refuse.ts';
import { type ConnectedHttp2, connectHttp2, serveHttp2 } from '../socket/http2-socket.ts';
import { type AcceptedLink } from './accepted-link.ts';
import { BUNDLE_AUTHORITY } from './hello.ts';
import { type LinkPool } from './pool.ts';
import { UnreadBody } from './small-body.ts';

/** Towards our control process: one stream per instance of every peer, with room for those being fenced; all may break at once when links do. */
const LOCAL_LIMITS: ConnectionLimits = {
  ...STRANGER_CONNECTION,
  streamsMax: 1_000,
  resetsMax: 10_000,
  glitchesMax: Infinity,
  stallTimeoutMs: undefined,
  idleTimeoutMs: undefined,
};

/** Control streams that one link may have open: one, and those that are being replaced. */
const STREAMS_PER_LINK_MAX = 4;

/** Names the peer of a call that a sibling hands over, since it has no link to it. */
export const SIBLING_PEER_FIELD = 'jumpgate-sibling-peer';

/** The only metadata that crosses: what gRPC itself needs. */
const PASSED = new Set(['content-type', 'te', 'grpc-encoding', 'grpc-accept-encoding', 'user-agent']);

const PEERING = field(':authority', 'peering.jumpgate');
const BUNDLE = field(':authority', BUNDLE_AUTHORITY);
/** What the authority of a request for a peer's bundle ends in, on the local socket. */
const BUNDLE_AUTHORITY_SUFFIX = `.${BUNDLE_AUTHORITY}`;
const HTTP = field(':scheme', 'http');
const HTTPS = field(':scheme', 'https');

/** What the bridge needs. */
export interface PeeringBridgeOptions {
  readonly runtime: Pick<RuntimePaths, 'serverSocket' | 'clientSocket' | 'token'>;
  readonly pool: LinkPool;
  /** Of links: siblings hand calls over that are to go on one. */
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A bridge that serves grpc-js's client; `peeringFor` is its other half, for calls that come in over links. */
export interface PeeringBridge extends AsyncDisposable {
  /** Takes the calls of a link to `peering.jumpgate` to our grpc-js server, under the name that the link proved. */
  peeringFor(link: AcceptedLink): RequestListener;
}

/** Binds the local socket. Throws what `bindServer` throws. */
export async function openPeeringBridge(options: PeeringBridgeOptions): Promise<PeeringBridge> {
  const { clock } = options;
  const limits: ConnectionLimits = {
    ...options.limits,
    streamsMax: options.limits.streamsMax + LOCAL_LIMITS.streamsMax,
    // It is near. Resets are judged as on a link, which they never end: the sibling has judged the callers.
    growthBytesMax: 0,
  };
  const sockets = new Set<Socket>();
  const listener: RequestListener = {
    onRequest: (stream, head, end) => callOut(stream, head, end, options),
    onRefused: () => undefined,
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serveHttp2(socket, { scheme: 'http', listener, clock, limits });
  });
  await bindServer(server, { kind: 'unix', path: options.runtime.clientSocket });
  const local = new LocalServer(options);
  return {
    peeringFor: (link) => new LinkPeering(link, local, options),
    [Symbol.asyncDispose]: async () => {
      local.destroy();
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Control calls a peer: the authority names it, the metadata its instance, and a link takes the call. */
function callOut(
  stream: ServerStream,
  head: RequestHead,
  end: boolean,
  { runtime, pool, log }: PeeringBridgeOptions,
): StreamReceiver {
  const token = soleValue(head.fields, TOKEN_FIELD);
  const handed = soleValue(head.fields, SIBLING_PEER_FIELD);
  const named = head.authority.value;
  const suffix = named.endsWith(BUNDLE_AUTHORITY_SUFFIX) ? BUNDLE_AUTHORITY_SUFFIX : PEERING_AUTHORITY_SUFFIX;
  if (!isSameToken(token, runtime.token)) return reset(stream);
  if (handed !== undefined) return carryHanded(stream, head, { end, link: pool.pick(handed, []) });
  if (!named.endsWith(suffix)) return reset(stream);
  const authority = suffix === BUNDLE_AUTHORITY_SUFFIX ? BUNDLE : PEERING;
  const link = pool.pick(named.slice(0, -suffix.length), [], soleValue(head.fields, INSTANCE_FIELD));
  if (link === undefined) return refused(stream, head, 'peer-unavailable');
  const carried = carry({
    stream,
    end,
    connection: link,
    head: localHead(head, { authority, scheme: HTTPS, added: [] }),
    log,
  });
  return carried ?? refused(stream, head, 'peer-unavailable');
}

/** A sibling has judged the call, and whatever it says crosses. Refused, it is tried elsewhere: nothing has left. */
function carryHanded(
  stream: ServerStream,
  head: RequestHead,
  { end, link }: { readonly end: boolean; readonly link: ClientConnection | undefined },
): StreamReceiver {
  if (link === undefined) return reset(stream);
  const ours = new Set([TOKEN_FIELD, SIBLING_PEER_FIELD]);
  const fields = head.fields.filter(({ name }) => !ours.has(name.text));
  const carried = relay({
    stream,
    head: { ...head, scheme: HTTPS, fields },
    end,
    connection: link,
    passes: () => true,
    onOver: () => undefined,
  });
  return carried ?? reset(stream);
}

/** The connections to our grpc-js server, made when they are needed: one, and another where it is full or closing. */
class LocalServer {
  readonly #options: PeeringBridgeOptions;
  readonly #connections = new Set<ConnectedHttp2>();
  #destroyed = false;

  constructor(options: PeeringBridgeOptions) {
    this.#options = options;
  }

  /** It takes requests at once: they leave when the socket is connected, or are reset. */
  connection(): ClientConnection {
    for (const connection of this.#connections) if (connection.usable) return connection;
    const { clock, log, runtime } = this.#options;
    const connection = connectHttp2(connect(runtime.serverSocket), { clock, limits: LOCAL_LIMITS });
    connection.ready.catch((error: unknown) => {
      if (!this.#destroyed) log.error('the local peering server cannot be reached', { error: messageOf(error) });
    });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    return connection;
  }

  destroy(): void {
    this.#destroyed = true;
    for (const connection of this.#connections) connection.destroy();
  }
}

/** The control streams that come in over one link. */
class LinkPeering implements RequestListener {
  readonly #local: LocalServer;
  readonly #log: Logger;
  readonly #added: readonly Field[];
  #open = 0;

  constructor(link: AcceptedLink, local: LocalServer, { runtime, log }: PeeringBridgeOptions) {
    this.#local = local;
    this.#log = log;
    this.#added = [
      field(TOKEN_FIELD, runtime.token, true),
      field(PEER_FIELD, link.peer.name),
      field(INSTANCE_FIELD, link.instance),
    ];
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    if (head.path.value !== SYNC_METHOD.path || head.method.value !== 'POST') return refused(stream, head, 'no-route');
    if (this.#open >= STREAMS_PER_LINK_MAX) return reset(stream);
    this.#open += 1;
    const over = (): void => void (this.#open -= 1);
    const connection = this.#local.connection();
    const carried = carry({
      stream,
      end,
      connection,
      head: localHead(head, { authority: PEERING, scheme: HTTP, added: this.#added }),
      log: this.#log,
      onOver: over,
    });
    if (carried !== undefined) return carried;
    over();
    return reset(stream);
  }

  onRefused(): void {
    // The link answers for what cannot be read.
  }
}

interface Carried {
  readonly stream: ServerStream;
  readonly end: boolean;
  readonly connection: ClientConnection;
  readonly head: RequestHead;
  readonly log: Logger;
  readonly onOver?: () => void;
}

/** Carries a control stream. What gateways tell each other in metadata is for their engines alone. */
function carry({ log, onOver, ...carried }: Carried): StreamReceiver | undefined {
  return relay({
    ...carried,
    passes: ({ name }) => !name.text.startsWith('jumpgate-'),
    onOver: (whole) => {
      if (!whole) log.debug('control stream broke', {});
      onOver?.();
    },
  });
}

/** The request with only the metadata that gRPC needs, and what we add. */
function localHead(
  head: RequestHead,
  { authority, scheme, added }: { readonly authority: Field; readonly scheme: Field; readonly added: readonly Field[] },
): RequestHead {
  const passed = head.fields.filter(({ name }) => PASSED.has(name.text));
  const { method, path } = head;
  return { method, path, authority, scheme, protocol: undefined, fields: [...passed, ...added] };
}

function refused(stream: ServerStream, head: RequestHead, reason: ReasonCode): StreamReceiver {
  const { grpc } = readRequestFields(head);
  refuse(stream, { reason, grpc, audience: 'trusted', method: head.method.value });
  return new UnreadBody(stream);
}

function reset(stream: ServerStream): StreamReceiver {
  stream.reset(ERROR_CODE.refusedStream);
  return new UnreadBody(stream);
}

/** The one value of `name`; `undefined` when it is absent or there are several. */
function soleValue(fields: readonly Field[], name: string): string | undefined {
  const found = fields.filter((each) => each.name.text === name);
  return found.length === 1 ? found[0]?.value : undefined;
}
