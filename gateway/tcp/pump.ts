/**
 * Moves bytes between a socket and a stream: as they come, unread, and no faster than the other side takes them.
 *
 *     socket ── bytes ──▶ stream      FIN ──▶ END_STREAM      RST ──▶ RST_STREAM (CONNECT_ERROR, RFC 9113 §8.5)
 *     socket ◀── bytes ── stream      FIN ◀── END_STREAM      RST ◀── RST_STREAM
 *
 *     idle ── join, start ──▶ moving ── both ends said, all written ──────────────▶ over (done)
 *                               └────── socket broken, stream reset, cut ─────────▶ over
 */
import { type Socket } from 'node:net';

import { ERROR_CODE } from '../message/error-code.ts';
import { type StreamSender } from '../message/stream.ts';
import { resetSocket } from './reset-socket.ts';

/**
 * Bytes of the socket that may wait for the stream before reading stops: one read of libuv's. What the network needs in
 * flight stands in the windows of the link, not here.
 */
const UNSENT_BYTES_MAX = 64 * 1024;

/** Where reading goes on, so that the stream does not run dry meanwhile. */
const UNSENT_BYTES_LOW = 16 * 1024;

/** Bytes of the stream that are written before the turn is over: one system call carries as much gladly. */
const FLUSH_BYTES = 256 * 1024;

/** Small pieces are copied together: cheaper than one more segment each, and they do not hold whole reads alive. */
const COMPACTED_BYTES_MAX = 16 * 1024;

/** What is kept until the tunnel is answered, so that it can be asked for on another link. Reading stops there. */
const KEPT_BYTES_MAX = 64 * 1024;

const NO_BYTES = new Uint8Array(0);

/** Who is told how it ended; one of them, once, unless the owner ended it. */
export interface PumpEvents {
  /** Both ends have said all, and it is written. */
  onDone(): void;
  /** The socket broke. The stream has been reset. */
  onSocketBroken(): void;
}

/** See the head of this file. */
export class Pump {
  /** Counted when they come. */
  bytesFromSocket = 0;
  bytesFromStream = 0;
  readonly #socket: Socket;
  readonly #events: PumpEvents;
  #stream: StreamSender | undefined;
  /** `undefined` once the tunnel is answered. */
  #kept: Uint8Array[] | undefined = [];
  #unsentBytes = 0;
  #isPaused = false;
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #immediate: NodeJS.Immediate | undefined;
  #socketEnded = false;
  #streamEnded = false;
  #isOver = false;

  /** Takes a paused socket over; reads nothing yet. */
  constructor(socket: Socket, events: PumpEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on('error', () => undefined);
    socket.once('close', this.#onClose);
    // It may have closed before anybody listened.
    if (socket.closed) queueMicrotask(() => this.#onClose(true));
  }

  /** Starts to read the socket; `first` was read of it already. There must be a stream. */
  start(first: Uint8Array = NO_BYTES): void {
    if (this.#isOver) return;
    if (first.length > 0) this.#onRead(first);
    this.#socket.on('data', this.#onRead);
    this.#socket.once('end', this.#onEnd);
    // A socket that has ended before says so at once.
    if (!this.#isPaused) this.#socket.resume();
  }

  /** Gives `stream` everything that the socket sent and will send; a stream before it was not processed by anybody. */
  join(stream: StreamSender): void {
    this.#stream = stream;
    this.#unsentBytes = 0;
    for (const bytes of this.#kept ?? []) {
      this.#unsentBytes += bytes.length;
      stream.write(bytes, false);
    }
    if (this.#socketEnded) stream.write(NO_BYTES, true);
  }

  /** The tunnel stands: nothing will be sent again. */
  answered(): void {
    this.#kept = undefined;
    this.#goOn();
  }

  /** Bytes of the stream, for the socket. */
  onData(bytes: Uint8Array, end: boolean): void {
    if (this.#isOver || this.#streamEnded) return;
    if (bytes.length > 0) {
      this.bytesFromStream += bytes.length;
      this.#gathered.push(bytes);
      this.#gatheredBytes += bytes.length;
    }
    if (end) {
      this.#streamEnded = true;
      this.#flush();
      this.#socket.end();
    } else if (this.#gatheredBytes >= FLUSH_BYTES) this.#flush();
    else this.#immediate ??= setImmediate(flushPump, this);
  }

  /** Bytes of the socket have left on the stream. */
  onSent(bytes: number): void {
    this.#unsentBytes -= bytes;
    if (this.#isPaused) this.#goOn();
  }

  /** Ends both sides now: the socket by RST, the stream, if it is not reset already, with `code`. */
  cut(code: number): void {
    if (this.#isOver) return;
    this.#end();
    this.#stream?.reset(code);
    resetSocket(this.#socket);
  }

  /** Lets go of the socket, which is its owner's to end. There must be no stream. */
  release(): void {
    if (!this.#isOver) this.#end();
  }

  /** For the immediate of a turn's end. */
  turnEnd(): void {
    this.#immediate = undefined;
    if (!this.#isOver) this.#flush();
  }

  readonly #onRead = (bytes: Uint8Array): void => {
    if (this.#isOver) return;
    this.bytesFromSocket += bytes.length;
    this.#unsentBytes += bytes.length;
    this.#kept?.push(bytes);
    this.#stream?.write(bytes, false);
    if (!this.#isPaused && !this.#mayRead(UNSENT_BYTES_MAX)) {
      this.#isPaused = true;
      this.#socket.pause();
    }
  };

  readonly #onEnd = (): void => {
    if (this.#isOver) return;
    this.#socketEnded = true;
    this.#stream?.write(NO_BYTES, true);
  };

  readonly #onClose = (isFailed: boolean): void => {
    if (this.#isOver) return;
    this.#end();
    if (this.#socketEnded && this.#streamEnded && !isFailed) {
      this.#events.onDone();
      return;
    }
    this.#stream?.reset(ERROR_CODE.connectError);
    this.#events.onSocketBroken();
  };

  #mayRead(unsentMax: number): boolean {
    if (this.#kept !== undefined && this.bytesFromSocket >= KEPT_BYTES_MAX) return false;
    return this.#unsentBytes < unsentMax;
  }

  #goOn(): void {
    if (!this.#isPaused || this.#isOver || !this.#mayRead(UNSENT_BYTES_LOW)) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  #flush(): void {
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    const bytes = this.#gatheredBytes;
    if (bytes === 0) return;
    const pieces = this.#gathered;
    const socket = this.#socket;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    const written = (error?: Error | null): void => {
      if (!error && !this.#isOver) this.#stream?.credit(bytes);
    };
    const isLagging = socket.writableLength > 0;
    if (bytes <= COMPACTED_BYTES_MAX && (pieces.length > 1 || isLagging)) {
      socket.write(Buffer.concat(pieces, bytes), written);
      return;
    }
    const last = pieces.length - 1;
    if (last > 0) socket.cork();
    pieces.forEach((piece, index) => {
      if (index < last) socket.write(piece);
      else socket.write(piece, written);
    });
    if (last > 0) socket.uncork();
  }

  #end(): void {
    this.#isOver = true;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#kept = undefined;
  }
}

function flushPump(pump: Pump): void {
  pump.turnEnd();
}
