/** HTTP/2 on a socket: the protocol code of `gateway/http2` with bytes, time and errors from outside. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { Http2ClientConnection } from '../http2/client-connection.ts';
import { type Connection } from '../http2/connection.ts';
import { type ConnectionLimits } from '../http2/limits.ts';
import { Http2ServerConnection } from '../http2/server-connection.ts';
import { type RequestHead } from '../message/head.ts';
import { BufferPool, Output } from '../message/output.ts';
import {
  type ClientConnection,
  type RequestListener,
  type ResponseReceiver,
  type StreamSender,
} from '../message/stream.ts';
import { TurnWriter } from './turn-writer.ts';

/** How often a connection looks at the time. */
const TICK_MS = 1_000;

/** How long the other side may take to read the last bytes and close: dropping the socket at once would reset them away. */
const LINGER_MS = 1_000;

/** What every connection is given. */
export interface Http2SocketOptions {
  readonly clock: Clock;
  readonly limits: ConnectionLimits;
  /** Buffers for output; some of its own if not given. */
  readonly pool?: BufferPool;
  /** See `TurnWriterOptions`. */
  readonly backlogBytesMax?: number | undefined;
  /** Told once if the connection ends with an error: its code, what was found, and whether the other end is at fault. */
  readonly onError?: (code: number, reason: string, byPeer: boolean) => void;
  /** See `ConnectionEvents.onAbuse`. */
  readonly onAbuse?: () => void;
  /** See `ConnectionEvents.onCalm`. */
  readonly onCalm?: () => void;
}

/** What a served connection is given. */
export interface ServeHttp2Options extends Http2SocketOptions {
  readonly listener: RequestListener;
  /** Of every request, whatever the client says; if not given, https on a TLS socket and http on others. */
  readonly scheme?: 'http' | 'https';
}

/** What both ends can be asked. */
export interface Http2Socket {
  /** Settles when the socket is gone, and every stream has been told. */
  readonly closed: Promise<void>;
  /** Exchanges under way. */
  readonly streams: number;
  /** Bytes of all streams that wait for the other end. */
  readonly queuedBytes: number;
  /** No new exchanges (GOAWAY); closes when those under way are done. */
  finish(): void;
  /** Cuts everything at once. */
  destroy(): void;
  /** Round trip in milliseconds; rejects when the connection is over, or too many are unanswered. */
  ping(): Promise<number>;
}

/** A connection to send requests on. */
export interface ConnectedHttp2 extends ClientConnection, Http2Socket {
  /** Resolves when the other end's SETTINGS are in; rejects when the connection ends before. */
  readonly ready: Promise<void>;
  /** The other end's limit on streams at once. */
  readonly streamsMax: number;
  /** Settles when the other end takes no new exchanges any more, or the connection is over. */
  readonly going: Promise<void>;
  /** Whether requests with `protocol` can be sent: the other end has announced it. */
  readonly connectProtocol: boolean;
  /** No new exchanges should be begun here: it is going, or its stream ids are used up. */
  readonly wantsClose: boolean;
  /** Something leaves at the end of this turn anyway: one more exchange costs no write of its own. */
  readonly leavesSoon: boolean;
  /** As `open`, also after `finish` while exchanges are under way: for what is about the connection itself. */
  openLate: ClientConnection['open'];
}

/** Serves HTTP/2 on `socket`, whose preface may already stand in its read buffer. */
export function serveHttp2(socket: Duplex, options: ServeHttp2Options): Http2Socket {
  const rim = new Rim(socket, options);
  const { limits, listener, scheme = 'encrypted' in socket ? 'https' : 'http' } = options;
  const connection = new Http2ServerConnection({ outlet: rim.writer, limits, events: rim, listener, scheme });
  rim.attach(connection, () => undefined);
  return asSocket(rim, connection);
}

/** Sends HTTP/2 requests on `socket`, which is connected. */
export function connectHttp2(socket: Duplex, options: Http2SocketOptions): ConnectedHttp2 {
  const rim = new Rim(socket, options);
  const connection = new Http2ClientConnection({ outlet: rim.writer, limits: options.limits, events: rim });
  const ready = new Promise<void>((resolve, reject) => {
    let settled = false;
    rim.attach(connection, () => {
      if (settled || !connection.ready) return;
      settled = true;
      resolve();
    });
    void rim.closed.then(() => {
      if (!settled) reject(new Error('the connection closed before HTTP/2 began'));
    });
  });
  // Whoever needs it awaits it; unawaited, its failure is also `closed`.
  ready.catch(() => undefined);
  return {
    closed: rim.closed,
    going: rim.going,
    ready,
    get usable() {
      return connection.usable;
    },
    get streams() {
      return connection.streams;
    },
    get queuedBytes() {
      return connection.queuedBytes;
    },
    get streamsMax() {
      return connection.streamsMax;
    },
    get connectProtocol() {
      return connection.connectProtocol;
    },
    get wantsClose() {
      return connection.wantsClose;
    },
    get leavesSoon() {
      return rim.writer.output.size > 0;
    },
    open: (head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined =>
      connection.open(head, end, receiver),
    openLate: (head, end, receiver) => connection.openLate(head, end, receiver),
    finish: () => {
      connection.shutdown();
    },
    destroy: () => {
      rim.destroy();
    },
    ping: () => rim.ping(connection),
  };
}

function asSocket(rim: Rim, connection: Connection): Http2Socket {
  return {
    closed: rim.closed,
    get streams() {
      return connection.streams;
    },
    get queuedBytes() {
      return connection.queuedBytes;
    },
    finish: () => {
      connection.shutdown();
    },
    destroy: () => {
      rim.destroy();
    },
    ping: () => rim.ping(connection),
  };
}

/** What of a connection the rim speaks to. */
interface Attached {
  readonly closed: boolean;
  receive(bytes: Buffer): void;
  turnEnd(): void;
  onWritable(): void;
  tick(nowMs: number): void;
  lost(): void;
}

/** The socket, its clock and what becomes of both. */
class Rim {
  readonly writer: TurnWriter;
  readonly closed: Promise<void>;
  readonly going: Promise<void>;
  readonly #socket: Duplex;
  readonly #options: Http2SocketOptions;
  readonly #pool: BufferPool;
  readonly #settle: () => void;
  readonly #settleGoing: () => void;
  readonly #pings = new Set<() => void>();
  #connection: Attached | undefined;
  #timer: Disposable | undefined;
  #isOver = false;

  constructor(socket: Duplex, options: Http2SocketOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#pool = options.pool ?? new BufferPool();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.closed = promise;
    this.#settle = () => {
      resolve(undefined);
    };
    const going = Promise.withResolvers<undefined>();
    this.going = going.promise;
    this.#settleGoing = () => {
      going.resolve(undefined);
    };
    this.writer = new TurnWriter({
      socket,
      output: new Output(this.#pool),
      backlogBytesMax: options.backlogBytesMax,
      onTurnEnd: () => this.#connection?.turnEnd(),
      onWritable: () => this.#connection?.onWritable(),
    });
  }

  /** Starts reading; `onRead` is called behind each read. */
  attach(connection: Attached, onRead: () => void): void {
    const socket = this.#socket;
    this.#connection = connection;
    // Every failure also closes the socket.
    socket.on('error', () => undefined);
    if (socket.destroyed) {
      this.#over();
      return;
    }
    socket.once('close', () => {
      this.#over();
    });
    socket.on('data', (bytes: Buffer) => {
      this.#pool.moved(bytes.length);
      connection.receive(bytes);
      onRead();
    });
    socket.once('end', () => {
      // HTTP/2 has no use for half a connection: nobody could answer or acknowledge.
      connection.lost();
      this.writer.end();
    });
    this.#arm();
  }

  onClosed(code: number, reason: string, byPeer: boolean): void {
    if (code !== 0) this.#options.onError?.(code, reason, byPeer);
    this.writer.end();
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(LINGER_MS, () => {
      this.#socket.destroy();
    });
    // What still comes is read and dropped, so that our last bytes are not reset away.
    if (!this.#socket.destroyed) this.#socket.resume();
  }

  onAbuse(): void {
    this.#options.onAbuse?.();
  }

  onCalm(): void {
    this.#options.onCalm?.();
  }

  onGoing(): void {
    this.#settleGoing();
  }

  destroy(): void {
    this.writer.destroy();
  }

  ping(connection: Connection): Promise<number> {
    const { clock } = this.#options;
    const startMs = clock.monotonic();
    return new Promise((resolve, reject) => {
      const refuse = (): void => {
        reject(new Error('the connection is over, or too many pings are unanswered'));
      };
      const sent = connection.ping(() => {
        this.#pings.delete(refuse);
        resolve(clock.monotonic() - startMs);
      });
      if (sent) this.#pings.add(refuse);
      else refuse();
    });
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#timer = clock.after(TICK_MS, () => {
      this.#arm();
      this.#connection?.tick(clock.monotonic());
    });
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection?.lost();
    this.writer.destroy();
    this.#timer?.[Symbol.dispose]();
    for (const refuse of this.#pings) refuse();
    this.#pings.clear();
    this.#settleGoing();
    this.#settle();
  }
}
