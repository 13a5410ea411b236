/** The connections of one listener for calls: served by protocol, counted, finished and cut together. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type Http1Limits } from '../http1/limits.ts';
import { type ConnectionLimits } from '../http2/limits.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type BufferPool } from '../message/output.ts';
import { type RequestListener } from '../message/stream.ts';
import { callerHttp1, callerHttp2, ownCallerHttp2 } from '../socket/connection-limits.ts';
import { serveHttp1 } from '../socket/http1-socket.ts';
import { serveHttp2 } from '../socket/http2-socket.ts';

/** Whose first bytes are not here this long after the drain began has none on their way. */
const FIRST_BYTES_MS = 1_000;

/** What bytes that are no HTTP/2 end a connection with. Lateness is told by the engine itself, floods by their calls. */
const BROKEN_RULES: ReadonlySet<number> = new Set([
  ERROR_CODE.protocolError,
  ERROR_CODE.flowControlError,
  ERROR_CODE.streamClosed,
  ERROR_CODE.frameSizeError,
  ERROR_CODE.compressionError,
]);

/** Who calls: workloads of our own mesh, or anybody. */
export type Callers = 'own' | 'strangers';

/** What the listeners of one process share. */
export interface ListenHost {
  readonly clock: Clock;
  readonly buffers: BufferPool;
}

/** A connection to serve. */
export interface Accepted {
  readonly socket: Duplex;
  readonly protocol: 'http1' | 'http2';
  readonly scheme: 'http' | 'https';
  readonly listener: RequestListener;
}

/** A connection that is served. */
interface Served {
  readonly closed: Promise<void>;
  finish(): void;
}

/** Serves connections. Dispose of it to cut them all. */
export class CallConnections implements Disposable {
  readonly limits: Limits;
  readonly #http1: Http1Limits;
  readonly #http2: ConnectionLimits;
  readonly #host: ListenHost;
  readonly #sockets = new Map<Duplex, Served | undefined>();
  #draining = false;
  #onEmpty = (): void => undefined;

  /** `limits`: those that hold at this listener. */
  constructor(host: ListenHost, callers: Callers, limits: Limits) {
    this.#host = host;
    this.limits = limits;
    this.#http1 = callerHttp1(limits);
    this.#http2 = callers === 'own' ? ownCallerHttp2(limits) : callerHttp2(limits);
  }

  /** Registers a connection whose protocol is not known yet. False (and destroyed) when there are too many. */
  hold(socket: Duplex): boolean {
    if (this.#sockets.has(socket)) return !socket.destroyed;
    socket.on('error', () => undefined);
    if (this.#draining || this.#sockets.size >= this.limits.connectionsPerListener || socket.destroyed) {
      socket.destroy();
      return false;
    }
    this.#sockets.set(socket, undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#onEmpty();
    });
    return true;
  }

  /** Takes a connection over; closes it at once when there are too many. */
  serve({ socket, protocol, scheme, listener }: Accepted): void {
    if (!this.hold(socket)) return;
    const { clock, buffers } = this.#host;
    const backlogBytesMax = this.limits.connectionBufferBytes;
    const options = { clock, pool: buffers, backlogBytesMax, scheme, listener };
    const onError = (code: number, _: string, byPeer: boolean): void => tell(listener, code, byPeer);
    const served =
      protocol === 'http1'
        ? serveHttp1(socket, { ...options, limits: this.#http1 })
        : serveHttp2(socket, { ...options, limits: this.#http2, onError });
    this.#sockets.set(socket, served);
    if (this.#draining) served.finish();
  }

  /** No new requests; resolves when those under way are answered, or were cut after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const served of this.#sockets.values()) served?.finish();
    if (this.#sockets.size === 0) return;
    const { clock } = this.#host;
    using timers = new DisposableStack();
    timers.use(clock.after(Math.min(FIRST_BYTES_MS, deadlineMs), () => this.#destroySilent()));
    timers.use(clock.after(deadlineMs, () => this.#destroy()));
    await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  [Symbol.dispose](): void {
    this.#draining = true;
    this.#destroy();
  }

  #destroySilent(): void {
    for (const [socket, served] of this.#sockets) if (served === undefined) socket.destroy();
  }

  #destroy(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

/** A connection that broke the rules of HTTP/2 is recorded as a request that could not be read, as it is on HTTP/1.1. */
function tell(listener: RequestListener, code: number, byPeer: boolean): void {
  if (byPeer && BROKEN_RULES.has(code)) listener.onRefused('request-malformed', {}, undefined);
}
