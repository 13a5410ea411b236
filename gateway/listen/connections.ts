/** The connections of one listener for calls: served by protocol, counted, finished and cut together. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { STRANGER_CONNECTION } from '../http2/limits.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type BufferPool } from '../message/output.ts';
import { type RequestListener } from '../message/stream.ts';
import { serveHttp1 } from '../socket/http1-socket.ts';
import { serveHttp2 } from '../socket/http2-socket.ts';

/** Connections of one listener at once (security.md §3). */
const CONNECTIONS_MAX = 10_000;

/** Time to complete a request's headers, and before it what tells the protocol (security.md §3). */
const HEADERS_TIMEOUT_MS = 10_000;

/** What bytes that are no HTTP/2 end a connection with. Lateness is told by the engine itself, floods by their calls. */
const BROKEN_RULES: ReadonlySet<number> = new Set([
  ERROR_CODE.protocolError,
  ERROR_CODE.flowControlError,
  ERROR_CODE.streamClosed,
  ERROR_CODE.frameSizeError,
  ERROR_CODE.compressionError,
]);

/** What a listener for calls takes on. */
export interface ListenLimits {
  readonly connectionsMax: number;
  readonly headersTimeoutMs: number;
}

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
  /** As given, or the defaults. */
  readonly limits: ListenLimits;
  readonly #host: ListenHost;
  readonly #sockets = new Map<Duplex, Served | undefined>();
  #draining = false;
  #onEmpty = (): void => undefined;

  constructor(host: ListenHost, given: Partial<ListenLimits> = {}) {
    this.#host = host;
    this.limits = { connectionsMax: CONNECTIONS_MAX, headersTimeoutMs: HEADERS_TIMEOUT_MS, ...given };
  }

  /** Registers a connection whose protocol is not known yet. False (and destroyed) when there are too many. */
  hold(socket: Duplex): boolean {
    if (this.#sockets.has(socket)) return !socket.destroyed;
    socket.on('error', () => undefined);
    if (this.#draining || this.#sockets.size >= this.limits.connectionsMax || socket.destroyed) {
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
    const { headersTimeoutMs } = this.limits;
    const options = { clock, pool: buffers, scheme, listener };
    const limits = { ...STRANGER_CONNECTION, headerTimeoutMs: headersTimeoutMs };
    const served =
      protocol === 'http1'
        ? serveHttp1(socket, { ...options, headersTimeoutMs, demandsProgress: true })
        : serveHttp2(socket, { ...options, limits, onError: (code, _, byPeer) => tell(listener, code, byPeer) });
    this.#sockets.set(socket, served);
  }

  /** No new requests; resolves when those under way are answered, or were cut after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const [socket, served] of this.#sockets) {
      if (served === undefined) socket.destroy();
      else served.finish();
    }
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#host.clock.after(deadlineMs, () => this.#destroy());
      this.#onEmpty = (): void => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
  }

  [Symbol.dispose](): void {
    this.#draining = true;
    this.#destroy();
  }

  #destroy(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

/** A connection that broke the rules of HTTP/2 is recorded as a request that could not be read, as it is on HTTP/1.1. */
function tell(listener: RequestListener, code: number, byPeer: boolean): void {
  if (byPeer && BROKEN_RULES.has(code)) listener.onRefused('request-malformed', {}, undefined);
}
