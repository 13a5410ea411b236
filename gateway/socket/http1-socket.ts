/** HTTP/1.1 on a socket: the protocol code of `gateway/http1` with bytes, time and errors from outside. */
import { type Duplex } from 'node:stream';
import { Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { Http1ClientConnection, type Http1ClientOptions } from '../http1/client-connection.ts';
import { Http1ServerConnection, type Http1ServerOptions } from '../http1/server-connection.ts';
import { type Wire } from '../http1/wire.ts';
import { BufferPool, Output, type Outlet } from '../message/output.ts';
import { type ClientConnection, type RequestListener } from '../message/stream.ts';
import { TurnWriter } from './turn-writer.ts';

/** How often a connection looks at the time. */
const TICK_MS = 1_000;

/** How long the other side may take to read the last answer before the socket is dropped: dropping it at once would reset the answer away. */
const LINGER_MS = 1_000;

/** How long the last answer may take to leave: what waits in a full socket, 256 KiB, at the 500 bytes/s that a reader owes. */
const LAST_ANSWER_MS = 10 * 60_000;

/** What every connection is given. */
export interface Http1SocketOptions {
  readonly clock: Clock;
  /** Buffers for output; one of its own if not given. */
  readonly pool?: BufferPool;
  /** See `TurnWriterOptions`. */
  readonly backlogBytesMax?: number | undefined;
}

/** What a served connection is given. */
export interface ServeHttp1Options extends Http1SocketOptions, Http1ServerOptions {
  readonly listener: RequestListener;
}

/** A connection that is served. */
export interface ServedHttp1 {
  /** Settles when the socket is gone. */
  readonly closed: Promise<void>;
  /** Requests under way. */
  readonly streams: number;
  /** See {@link Http1ServerConnection.finish}. */
  finish(): void;
  destroy(): void;
}

/** What a dialled connection is given. */
export interface ConnectHttp1Options extends Http1SocketOptions, Http1ClientOptions {}

/** A connection to send requests on. */
export interface ConnectedHttp1 extends ClientConnection {
  /** Settles when the socket is gone. */
  readonly closed: Promise<void>;
  /** See {@link Http1ClientConnection.keepAliveMs}. */
  readonly keepAliveMs: number;
  /** See {@link Http1ClientConnection.staleReset}. */
  readonly staleReset: boolean;
  /** Takes no further request and closes when the one under way is answered. */
  finish(): void;
  destroy(): void;
}

/** Serves HTTP/1.1 on `socket`, which must allow half-open connections for tunnels to end one half at a time. */
export function serveHttp1(socket: Duplex, options: ServeHttp1Options): ServedHttp1 {
  return new ServedSocket(new SocketWire(socket, options), options);
}

/** Sends HTTP/1.1 requests on `socket`, which is connected. */
export function connectHttp1(socket: Duplex, options: ConnectHttp1Options): ConnectedHttp1 {
  return new ConnectedSocket(new SocketWire(socket, options), options);
}

/** A class, and no object of closures: what asks many connections the same would find each of its own shape. */
class ServedSocket extends Http1ServerConnection implements ServedHttp1 {
  readonly closed: Promise<void>;
  readonly #wire: SocketWire;
  readonly #clock: Clock;
  #ticking: Disposable;

  constructor(wire: SocketWire, { clock, listener, ...options }: ServeHttp1Options) {
    super(wire, listener, { ...options, nowMs: clock.monotonic() });
    this.#wire = wire;
    this.#clock = clock;
    this.#ticking = clock.after(TICK_MS, this.#onTick);
    this.closed = wire.attach(this, () => this.#ticking[Symbol.dispose]());
  }

  destroy(): void {
    this.#wire.destroy();
  }

  readonly #onTick = (): void => {
    this.#ticking = this.#clock.after(TICK_MS, this.#onTick);
    this.tick(this.#clock.monotonic());
  };
}

/** See {@link ServedSocket}. */
class ConnectedSocket extends Http1ClientConnection implements ConnectedHttp1 {
  readonly closed: Promise<void>;
  readonly #wire: SocketWire;

  constructor(wire: SocketWire, options: Http1ClientOptions) {
    super(wire, options);
    this.#wire = wire;
    this.closed = wire.attach(this, () => undefined);
  }

  destroy(): void {
    this.#wire.destroy();
  }
}

/** What of a connection the socket speaks to. */
interface Attached {
  receive(bytes: Buffer): void;
  receivedEnd(): void;
  connectionLost(): void;
  flushed(): void;
}

/** A socket as a {@link Wire}. */
class SocketWire implements Wire {
  readonly #socket: Duplex;
  readonly #clock: Clock;
  readonly #pool: BufferPool;
  readonly #writer: TurnWriter;
  #attached: Attached | undefined;
  #linger: Disposable | undefined;
  #isClosing = false;

  constructor(socket: Duplex, { clock, pool = new BufferPool(), backlogBytesMax }: Http1SocketOptions) {
    this.#socket = socket;
    this.#clock = clock;
    this.#pool = pool;
    this.#writer = new TurnWriter({
      socket,
      output: new Output(pool),
      backlogBytesMax,
      onTurnEnd: () => this.#attached?.flushed(),
      onWritable: () => this.#attached?.flushed(),
    });
  }

  get outlet(): Outlet {
    return this.#writer;
  }

  /** Starts reading. Settles when the socket is gone, of which the connection has been told then. */
  attach(connection: Attached, onClosed: () => void): Promise<void> {
    const socket = this.#socket;
    this.#attached = connection;
    return new Promise((resolve) => {
      const over = (): void => {
        this.#linger?.[Symbol.dispose]();
        this.#writer.destroy();
        connection.connectionLost();
        onClosed();
        resolve();
      };
      socket.on('error', () => undefined);
      if (socket.destroyed) {
        over();
        return;
      }
      socket.once('close', over);
      socket.on('data', (bytes: Buffer) => {
        this.#pool.moved(bytes.length);
        connection.receive(bytes);
      });
      socket.once('end', () => {
        connection.receivedEnd();
      });
    });
  }

  end(): void {
    this.#writer.end();
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#writer.end();
    if (this.#socket.writableFinished) {
      this.#dropAfter(LINGER_MS);
      return;
    }
    // A slow reader of a long answer is not cut off before all has left.
    this.#dropAfter(LAST_ANSWER_MS);
    this.#socket.once('finish', () => this.#dropAfter(LINGER_MS));
  }

  cut(): void {
    const socket = this.#socket;
    // While its end is on the way a socket cannot be reset: Node would lose the handle, which then stays open.
    const mayReset = !socket.writableEnded || socket.writableFinished;
    try {
      if (socket instanceof Socket && mayReset) socket.resetAndDestroy();
    } catch {
      // Node resets bare TCP only and throws for TLS, where the missing close_notify tells, and for Unix sockets.
    }
    this.#writer.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#writer.destroy();
  }

  #dropAfter(delayMs: number): void {
    this.#linger?.[Symbol.dispose]();
    if (this.#socket.destroyed) return;
    this.#linger = this.#clock.after(delayMs, () => {
      this.#socket.destroy();
    });
  }
}
