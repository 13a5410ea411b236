/** The server of the SPIFFE Workload API: grpc-js on a Unix socket whose file permission says who the caller is. */
import { randomInt } from 'node:crypto';
import { createServer, type Server as SocketServer, type Socket } from 'node:net';

import {
  experimental,
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerListener,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';

import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { bindGuarded, type GuardedSocket } from '../../base/net/guarded-socket.ts';
import { SECURITY_HEADER } from '../workload-api-proto/methods.ts';
import { Admission, type AdmissionLimits } from './workload/admission.ts';
import { Push, type Sink } from './workload/push.ts';
import {
  type AnsweringRpc,
  failureOf,
  type Feed,
  isRefused,
  type Refused,
  refused,
  type Rpc,
  type RpcStatus,
  type StreamRpc,
} from './workload/rpc.ts';

/** What a socket takes. */
export interface WorkloadApiLimits extends AdmissionLimits {
  readonly connectionsMax: number;
}

/** What to serve, and where. */
export interface WorkloadApiServerOptions {
  readonly socket: GuardedSocket;
  readonly rpcs: readonly Rpc[];
  readonly limits: WorkloadApiLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A socket that is served, until disposed of: then every stream ends Unavailable, and the file goes. */
export interface WorkloadApiServer extends AsyncDisposable {
  /** Calls under way now. */
  readonly streams: () => number;
  /** Calls that a limit turned away since the start. */
  readonly turnedAway: () => number;
}

/** A token to validate is the largest request; one of these holds any that fits into an HTTP header. */
const REQUEST_BYTES_MAX = 64 * 1024;
/** On one connection: libraries open a handful. */
const STREAMS_PER_CONNECTION_MAX = 100;
/** From a call's beginning until its request is there. */
const REQUEST_MS_MAX = 10_000;
/** Whoever reflects asks a few questions and is gone. */
const EXCHANGE_MS_MAX = 60_000;
/** A connection without a call on it. */
const IDLE_MS_MAX = 300_000;
/** A process that is stopped keeps its socket open: only an unanswered ping tells (in all 80 s). */
const PING_EVERY_MS = 60_000;
const PING_ANSWER_MS_MAX = 20_000;
/** What Node lets one connection hold, in megabytes. */
const CONNECTION_MEGABYTES_MAX = 16;
/** Changes reach all within this time, each at a moment of its own; what is taken away is so at once. */
const SPREAD_MS_MAX = 2_000;
/** A caller whose flow-control window stays shut for so long is not reading. */
const STALLED_MS = 60_000;
/** For the statuses of ended streams to leave. */
const CLOSE_MS_MAX = 500;

/** Which connection a call came on; set here, whatever the caller sent under this name. */
const CONNECTION_FIELD = 'jumpgate-connection';

type Status = (typeof status)[keyof typeof status];

const STATUS: Readonly<Record<RpcStatus, Status>> = {
  'invalid-argument': status.INVALID_ARGUMENT,
  'not-found': status.NOT_FOUND,
  'permission-denied': status.PERMISSION_DENIED,
  unavailable: status.UNAVAILABLE,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

/** Serves `rpcs` on a socket; throws what {@link bindGuarded} throws. Without TLS and without credentials of callers (SPIFFE Workload Endpoint §3.1, §5). */
export async function serveWorkloadApi(options: WorkloadApiServerOptions): Promise<WorkloadApiServer> {
  const server = new RpcServer(options);
  await server.listen();
  return server;
}

class RpcServer implements WorkloadApiServer {
  readonly #options: WorkloadApiServerOptions;
  readonly #admission: Admission;
  readonly #needHeader: ReadonlySet<string>;
  readonly #exchanges: ReadonlySet<string>;
  readonly #grpc: Server;
  readonly #sockets: SocketServer;
  /** By the number that its calls carry. */
  readonly #connections = new Map<string, Socket>();
  readonly #pushes = new Set<Push>();
  #connectionsMade = 0;
  #turnedAway = 0;

  constructor(options: WorkloadApiServerOptions) {
    const { clock, limits, rpcs } = options;
    this.#options = options;
    this.#admission = new Admission(limits, clock);
    this.#needHeader = new Set(rpcs.filter(({ needsHeader }) => needsHeader).map(({ path }) => path));
    this.#exchanges = new Set(rpcs.filter(({ kind }) => kind === 'exchange').map(({ path }) => path));
    this.#grpc = new Server({
      'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
      'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
      'grpc.max_connection_idle_ms': IDLE_MS_MAX,
      'grpc.keepalive_time_ms': PING_EVERY_MS,
      'grpc.keepalive_timeout_ms': PING_ANSWER_MS_MAX,
      'grpc-node.max_session_memory': CONNECTION_MEGABYTES_MAX,
      'grpc.enable_channelz': 0,
    });
    for (const rpc of rpcs) this.#register(rpc);
    this.#sockets = createServer((socket) => this.#connected(socket));
    this.#sockets.maxConnections = limits.connectionsMax;
    this.#sockets.on('drop', () => void (this.#turnedAway += 1));
  }

  streams(): number {
    return this.#admission.open;
  }

  turnedAway(): number {
    return this.#turnedAway;
  }

  async listen(): Promise<void> {
    await bindGuarded(this.#sockets, this.#options.socket);
    this.#sockets.on('error', (error) => this.#options.log.error('workload api listener failed', { error }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#sockets.close(() => resolve()));
    for (const push of [...this.#pushes]) push.end(refused('unavailable', 'the server stops'));
    const late = Promise.withResolvers<undefined>();
    const timer = this.#options.clock.after(CLOSE_MS_MAX, () => late.resolve(undefined));
    await Promise.race([this.#ended(), late.promise]);
    timer[Symbol.dispose]();
    for (const socket of this.#connections.values()) socket.destroy();
    this.#grpc.forceShutdown();
    await closed;
  }

  /** Connections close behind the statuses of their streams. */
  async #ended(): Promise<void> {
    await this.#admission.emptied();
    await new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve()));
  }

  /** An injector each, since only by its own interceptor does a call tell its connection. */
  #connected(socket: Socket): void {
    const id = String((this.#connectionsMade += 1));
    const credentials = experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
      this.#interceptor(id),
    ]);
    const injector = this.#grpc.createConnectionInjector(credentials);
    this.#connections.set(id, socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#connections.delete(id);
      injector.destroy();
    });
    injector.injectConnection(socket);
  }

  /** Sees every call before its method does. */
  #interceptor(connection: string): ServerInterceptor {
    return ({ path }, call) => {
      const entered = this.#admission.enter();
      const isExchange = this.#exchanges.has(path);
      const ms = isExchange ? EXCHANGE_MS_MAX : REQUEST_MS_MAX;
      const overdue = (): void => deny(call, refused('unavailable', `expected the whole request within ${ms} ms`));
      const timer = this.#options.clock.after(ms, overdue);
      const listener: ServerListener = {
        onReceiveMetadata: (metadata, pass) => {
          const problem = this.#problemWith(path, metadata, entered);
          if (problem !== undefined) {
            deny(call, problem);
            return;
          }
          metadata.set(CONNECTION_FIELD, connection);
          pass(metadata);
        },
        onReceiveHalfClose: (pass) => {
          if (!isExchange) timer[Symbol.dispose]();
          pass();
        },
        // At every end, also that of an answered call.
        onCancel: () => {
          timer[Symbol.dispose]();
          if (typeof entered === 'object') entered[Symbol.dispose]();
        },
      };
      return new ServerInterceptingCall(call, { start: (next) => next(listener) });
    };
  }

  #problemWith(path: string, metadata: Metadata, entered: ReturnType<Admission['enter']>): Refused | undefined {
    if (typeof entered === 'string') return this.#tooMany(entered);
    const { name, value } = SECURITY_HEADER;
    const values = metadata.get(name);
    if (!this.#needHeader.has(path) || (values.length === 1 && values[0] === value)) return undefined;
    return refused(
      'invalid-argument',
      `expected the metadata ${name}: ${value}, which only a client of this API sends`,
    );
  }

  #tooMany(what: 'streams' | 'requests'): Refused {
    this.#turnedAway += 1;
    return refused('unavailable', `more ${what} than this socket takes`);
  }

  #register(rpc: Rpc): void {
    const { path } = rpc;
    switch (rpc.kind) {
      case 'unary':
        this.#grpc.register(path, this.#unary(rpc), asItIs, asItIs, 'unary');
        return;
      case 'stream':
        this.#grpc.register(path, this.#stream(rpc), asItIs, asItIs, 'serverStream');
        return;
      case 'exchange':
        this.#grpc.register(path, this.#exchange(rpc), asItIs, asItIs, 'bidi');
        return;
      default:
        rpc satisfies never;
    }
  }

  #unary({ path, answer }: AnsweringRpc): handleUnaryCall<Buffer, Buffer> {
    return (call, done) => {
      const outcome = this.#guarded(path, () => answer(call.request));
      if (outcome.kind === 'message') done(null, Buffer.from(outcome.bytes));
      else done(statusOf(outcome));
    };
  }

  #stream({ path, open }: StreamRpc): handleServerStreamingCall<Buffer, Buffer> {
    return (call) => {
      const feed = this.#guarded(path, () => open(call.request));
      if (isRefused(feed)) call.emit('error', statusOf(feed));
      else this.#push(feed, call);
    };
  }

  #push(feed: Feed, call: ServerWritableStream<Buffer, Buffer>): void {
    const sink: Sink = {
      send: (bytes, taken) => void call.write(Buffer.from(bytes), taken),
      end: (reason) => void call.emit('error', statusOf(reason)),
      cut: () => this.#connections.get(String(call.metadata.get(CONNECTION_FIELD)[0]))?.destroy(),
    };
    const delayMs = (): number => randomInt(SPREAD_MS_MAX);
    const push = new Push({ feed, sink, delayMs, stalledMs: STALLED_MS, clock: this.#options.clock });
    this.#pushes.add(push);
    call.once('close', () => {
      push[Symbol.dispose]();
      this.#pushes.delete(push);
    });
    push.start();
  }

  /** Reads no further than its answers are taken. */
  #exchange({ path, answer }: AnsweringRpc): handleBidiStreamingCall<Buffer, Buffer> {
    return (call) => {
      call.on('data', (request: Buffer) => {
        const outcome = this.#admission.ask() ? this.#guarded(path, () => answer(request)) : this.#tooMany('requests');
        if (outcome.kind === 'refused') {
          call.pause();
          call.emit('error', statusOf(outcome));
          return;
        }
        if (call.write(Buffer.from(outcome.bytes))) return;
        call.pause();
        call.once('drain', () => call.resume());
      });
      call.once('end', () => call.end());
    };
  }

  #guarded<T>(path: string, answer: () => T): T | Refused {
    try {
      return answer();
    } catch (error) {
      this.#options.log.error('workload api call failed', { path, error: messageOf(error) });
      return failureOf(error);
    }
  }
}

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

function statusOf({ status: name, message }: Refused): { readonly code: Status; readonly details: string } {
  return { code: STATUS[name], details: message };
}

function deny(call: ServerInterceptingCallInterface, reason: Refused): void {
  call.sendStatus(statusOf(reason));
}
