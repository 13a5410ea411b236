/** HTTP/2 frames with header blocks made beforehand: a load generator and a backend that cost next to nothing. */
import { type Socket } from 'node:net';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const FRAME_HEADER = 9;
/** RFC 9113 §4.2: every receiver accepts this much. */
const PAYLOAD_MAX = 16_384;
const WINDOW_MAX = 2 ** 31 - 1;
const WINDOW_DEFAULT = 65_535;
/** Credit is given back in steps this large, so that it costs nothing. */
const CREDIT_STEP = 2 ** 26;
const OUT_BYTES = 256 * 1024;
const TYPE = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const STATUS_200 = 0x88;
/** A gRPC message of 200 bytes stands at its start; nobody reads further. */
const CONTENT = Buffer.alloc(PAYLOAD_MAX, 'jumpgate bench ');
CONTENT.set([0, 0, 0, 0, 200]);

/** What the other side did. */
export interface RawEvents {
  /** `ok` says whether the block starts with `:status: 200`; only the first block of a stream has a status. */
  headers(stream: number, ok: boolean, end: boolean): void;
  data(stream: number, length: number, end: boolean): void;
  /** A stream, or with stream 0 the connection, ended before its time. */
  failed(stream: number, why: string): void;
}

interface Body {
  left: number;
  window: number;
  readonly trailers: Buffer | undefined;
}

/** One connection, in either role. It never decodes a header block, and its own blocks are given as bytes. */
export class RawHttp2 {
  readonly #socket: Socket;
  readonly #events: RawEvents;
  readonly #bodies = new Map<number, Body>();
  #rest: Buffer = Buffer.alloc(0);
  #skip: number;
  #data = { stream: 0, length: 0, end: false };
  #out = Buffer.allocUnsafe(OUT_BYTES);
  #used = 0;
  #flushing = false;
  #window = WINDOW_DEFAULT;
  #streamWindow = WINDOW_DEFAULT;
  #received = 0;

  constructor(socket: Socket, role: 'client' | 'server', events: RawEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#skip = role === 'server' ? PREFACE.length : 0;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => events.failed(0, error.message));
    socket.on('close', () => events.failed(0, 'closed'));
    socket.on('drain', () => this.#resume());
    if (role === 'client') this.#room(PREFACE.length).set(PREFACE);
    // MAX_CONCURRENT_STREAMS 10000, INITIAL_WINDOW_SIZE at its maximum; ENABLE_PUSH 0 from a client.
    const settings = [
      0,
      3,
      0,
      0,
      0x27,
      0x10,
      0,
      4,
      0x7f,
      0xff,
      0xff,
      0xff,
      ...(role === 'client' ? [0, 2, 0, 0, 0, 0] : []),
    ];
    this.#frame(TYPE.settings, 0, 0, settings.length).set(settings);
    this.#frame(TYPE.windowUpdate, 0, 0, 4).writeInt32BE(WINDOW_MAX - WINDOW_DEFAULT);
  }

  /** Sends a header block, which must fit one frame. */
  headers(stream: number, block: Buffer, end: boolean): void {
    this.#frame(TYPE.headers, END_HEADERS | (end ? END_STREAM : 0), stream, block.length).set(block);
  }

  /** Sends `bytes` of content and the end of the stream, with `trailers` or without, as fast as windows allow. */
  body(stream: number, bytes: number, trailers?: Buffer): void {
    const body: Body = { left: bytes, window: this.#streamWindow, trailers };
    if (!this.#send(stream, body)) this.#bodies.set(stream, body);
  }

  /** True when all of it is written. */
  #send(stream: number, body: Body): boolean {
    while (body.left > 0) {
      const size = Math.min(body.left, PAYLOAD_MAX, body.window, this.#window);
      if (size <= 0 || this.#socket.writableNeedDrain) return false;
      body.left -= size;
      body.window -= size;
      this.#window -= size;
      const last = body.left === 0 && body.trailers === undefined;
      const payload = this.#frame(TYPE.data, last ? END_STREAM : 0, stream, size);
      CONTENT.copy(payload, 0, 0, size);
    }
    if (body.trailers !== undefined) this.headers(stream, body.trailers, true);
    return true;
  }

  #resume(): void {
    for (const [stream, body] of this.#bodies) {
      if (this.#send(stream, body)) this.#bodies.delete(stream);
    }
  }

  #frame(type: number, flags: number, stream: number, length: number): Buffer {
    const frame = this.#room(FRAME_HEADER + length);
    frame.writeUIntBE(length, 0, 3);
    frame[3] = type;
    frame[4] = flags;
    frame.writeUInt32BE(stream, 5);
    return frame.subarray(FRAME_HEADER);
  }

  #room(bytes: number): Buffer {
    if (this.#used + bytes > OUT_BYTES) this.#flush();
    const room = this.#out.subarray(this.#used, this.#used + bytes);
    this.#used += bytes;
    if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
    return room;
  }

  #flush(): void {
    if (this.#used === 0 || this.#socket.destroyed) return;
    this.#socket.write(this.#out.subarray(0, this.#used));
    this.#used = 0;
    // What the kernel did not take at once is still in use by the socket.
    if (this.#socket.writableLength > 0) this.#out = Buffer.allocUnsafe(OUT_BYTES);
  }

  #read(chunk: Buffer): void {
    const input = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at < input.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, input.length - at);
        this.#skip -= skipped;
        at += skipped;
        if (this.#skip === 0) this.#dataEnds();
        continue;
      }
      if (input.length - at < FRAME_HEADER) break;
      const length = input.readUIntBE(at, 3);
      if (input[at + 3] === TYPE.data) {
        this.#dataStarts(input, at, length);
        at += FRAME_HEADER;
        continue;
      }
      if (input.length - at < FRAME_HEADER + length) break;
      this.#take(input.subarray(at, at + FRAME_HEADER + length));
      at += FRAME_HEADER + length;
    }
    this.#rest = at === input.length ? Buffer.alloc(0) : input.subarray(at);
  }

  #dataStarts(input: Buffer, at: number, length: number): void {
    const end = (input.readUInt8(at + 4) & END_STREAM) !== 0;
    this.#data = { stream: input.readUInt32BE(at + 5), length, end };
    this.#skip = length;
    this.#received += length;
    if (length === 0) this.#dataEnds();
    if (this.#received < CREDIT_STEP) return;
    this.#frame(TYPE.windowUpdate, 0, 0, 4).writeInt32BE(this.#received);
    this.#received = 0;
  }

  #dataEnds(): void {
    const { stream, length, end } = this.#data;
    if (stream !== 0) this.#events.data(stream, length, end);
  }

  #take(frame: Buffer): void {
    const flags = frame.readUInt8(4);
    const stream = frame.readUInt32BE(5);
    const payload = frame.subarray(FRAME_HEADER);
    switch (frame[3]) {
      case TYPE.headers:
        this.#events.headers(stream, isOk(payload, flags), (flags & END_STREAM) !== 0);
        break;
      case TYPE.settings:
        if ((flags & ACK) === 0) this.#settings(payload);
        break;
      case TYPE.ping:
        if ((flags & ACK) === 0) this.#frame(TYPE.ping, ACK, 0, 8).set(payload);
        break;
      case TYPE.windowUpdate:
        this.#credit(stream, payload.readUInt32BE(0));
        break;
      case TYPE.reset:
        this.#bodies.delete(stream);
        this.#events.failed(stream, `reset with code ${payload.readUInt32BE(0)}`);
        break;
      case TYPE.goaway:
        this.#events.failed(0, `went away with code ${payload.readUInt32BE(4)}`);
        break;
      default:
    }
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== 4) continue;
      const wanted = payload.readUInt32BE(at + 2);
      for (const body of this.#bodies.values()) body.window += wanted - this.#streamWindow;
      this.#streamWindow = wanted;
    }
    this.#frame(TYPE.settings, ACK, 0, 0);
    this.#resume();
  }

  #credit(stream: number, bytes: number): void {
    const body = this.#bodies.get(stream);
    if (stream === 0) this.#window += bytes;
    else if (body !== undefined) body.window += bytes;
    else return;
    this.#resume();
  }
}

/** Looks behind padding, priority and table size updates (RFC 7541 §6.3) for the static entry of status 200. */
function isOk(payload: Buffer, flags: number): boolean {
  let at = ((flags & 0x8) === 0 ? 0 : 1) + ((flags & 0x20) === 0 ? 0 : 5);
  while (((payload[at] ?? 0) & 0xe0) === 0x20) {
    const long = ((payload[at] ?? 0) & 0x1f) === 0x1f;
    at += 1;
    while (long && ((payload[at] ?? 0) & 0x80) !== 0) at += 1;
    if (long) at += 1;
  }
  return payload[at] === STATUS_200;
}
